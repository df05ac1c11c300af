# Version and commit for run.json, given to one file so that a commit recompiles only that.
set(build_info_definitions "TOPLENS_VERSION=\"${PROJECT_VERSION}\"")
find_program(TOPLENS_GIT git)
execute_process(COMMAND ${TOPLENS_GIT} rev-parse --show-toplevel WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
                OUTPUT_VARIABLE git_root OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
# A source archive unpacked inside another repository is not that repository's commit.
if(TOPLENS_GIT AND "${git_root}" STREQUAL "${CMAKE_SOURCE_DIR}")
  execute_process(COMMAND ${TOPLENS_GIT} rev-parse HEAD WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
                  OUTPUT_VARIABLE git_commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  # The log of HEAD changes with every commit and checkout: configure again then.
  execute_process(COMMAND ${TOPLENS_GIT} rev-parse --path-format=absolute --git-path logs/HEAD
                  WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
                  OUTPUT_VARIABLE git_log OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(git_commit)
    list(APPEND build_info_definitions "TOPLENS_GIT_COMMIT=\"${git_commit}\"")
    if(EXISTS "${git_log}")
      set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${git_log}")
    endif()
  endif()
endif()
set_source_files_properties(src/results/build_info.cc PROPERTIES
                            COMPILE_DEFINITIONS "${build_info_definitions}")
