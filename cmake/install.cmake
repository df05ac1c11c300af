include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

install(TARGETS toplens_library EXPORT toplens-targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(TARGET toplens)
  install(TARGETS toplens RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
install(DIRECTORY include/toplens DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
set(package_directory ${CMAKE_INSTALL_LIBDIR}/cmake/toplens)
install(EXPORT toplens-targets NAMESPACE toplens:: DESTINATION ${package_directory})
configure_package_config_file(cmake/toplens-config.cmake.in ${CMAKE_BINARY_DIR}/toplens-config.cmake
                              INSTALL_DESTINATION ${package_directory})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/toplens-config-version.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/toplens-config.cmake
        ${CMAKE_BINARY_DIR}/toplens-config-version.cmake DESTINATION ${package_directory})
