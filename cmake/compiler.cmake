find_program(TOPLENS_CCACHE ccache)
if(TOPLENS_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${TOPLENS_CCACHE})
endif()

if(TOPLENS_SANITIZE)
  add_compile_options(-fsanitize=${TOPLENS_SANITIZE} -fno-sanitize-recover=all
                      -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${TOPLENS_SANITIZE})
endif()
if(TOPLENS_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "TOPLENS_FUZZ needs Clang (preset asan-ubsan)")
  endif()
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

# Contraction of a*b+c into one rounding is left to the code that asks for it (Highway's MulAdd):
# results must not depend on what a compiler fuses.
function(toplens_compile_options target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -ffp-contract=off
                         $<$<BOOL:${TOPLENS_WERROR}>:-Werror>)
endfunction()
