# The page of report.html without data: npm fetches the libraries that draw the figures (once for each
# lock file, into the build directory), and assemble.mjs puts them and src/report's files into one file.
find_program(TOPLENS_NODE NAMES node nodejs)
find_program(TOPLENS_NPM npm)
if(NOT TOPLENS_NODE OR NOT TOPLENS_NPM)
  message(FATAL_ERROR "node or npm not found: install the Debian packages nodejs and npm "
                      "(scripts/bootstrap installs everything that is needed)")
endif()

# toplens_npm_packages(folder directory): adds a rule that installs the packages of folder/package-lock.json
# in `directory`, with the file `directory`/installed as its stamp.
function(toplens_npm_packages folder directory)
  file(MAKE_DIRECTORY ${directory})
  add_custom_command(
    OUTPUT ${directory}/installed
    COMMAND ${CMAKE_COMMAND} -E copy ${folder}/package.json ${folder}/package-lock.json ${folder}/.npmrc
            ${directory}
    COMMAND ${TOPLENS_NPM} ci --prefer-offline --ignore-scripts --no-audit --no-fund --loglevel=error
    COMMAND ${CMAKE_COMMAND} -E touch ${directory}/installed
    DEPENDS ${folder}/package.json ${folder}/package-lock.json ${folder}/.npmrc
    WORKING_DIRECTORY ${directory}
    COMMENT "npm packages of ${folder}"
    VERBATIM)
endfunction()

set(report_folder ${CMAKE_SOURCE_DIR}/src/report)
set(report_packages ${CMAKE_BINARY_DIR}/report/npm)
set(report_shell ${CMAKE_BINARY_DIR}/report/shell.html)
toplens_npm_packages(${report_folder} ${report_packages})
file(GLOB report_files CONFIGURE_DEPENDS ${report_folder}/figures/*.json ${report_folder}/themes/*.json
     ${report_folder}/*.html ${report_folder}/*.css ${report_folder}/*.js ${report_folder}/*.mjs)
add_custom_command(
  OUTPUT ${report_shell}
  COMMAND ${TOPLENS_NODE} ${report_folder}/assemble.mjs ${report_packages}/node_modules ${report_shell}
  DEPENDS ${report_files} ${report_packages}/installed
  COMMENT "Template of report.html"
  VERBATIM)
target_sources(toplens_library PRIVATE ${report_shell})
set_source_files_properties(${report_shell} PROPERTIES HEADER_FILE_ONLY ON)
set_source_files_properties(src/report/page_shell.cc PROPERTIES
  COMPILE_DEFINITIONS "TOPLENS_PAGE_SHELL=\"${report_shell}\"" OBJECT_DEPENDS ${report_shell})
