# Every dependency is a Debian 12 package (scripts/packages.txt). Libraries are linked by plain
# name, so that the installed package needs no find module of ours for them.
find_package(Threads REQUIRED)

function(toplens_require header package)
  string(MAKE_C_IDENTIFIER "TOPLENS_HAVE_${header}" found)
  find_path(${found} ${header} PATHS /usr/include/hdf5/serial)
  if(NOT ${found})
    message(FATAL_ERROR "${header} not found: install the Debian package ${package} "
                        "(scripts/bootstrap installs everything that is needed)")
  endif()
endfunction()

toplens_require(dnnl.h libdnnl-dev)
toplens_require(hwy/highway.h libhwy-dev)
toplens_require(sentencepiece_processor.h libsentencepiece-dev)
toplens_require(pcre2.h libpcre2-dev)
toplens_require(netcdf.h libnetcdf-dev)
toplens_require(nlohmann/json.hpp nlohmann-json3-dev)
toplens_require(CLI/CLI.hpp libcli11-dev)
toplens_require(utf8proc.h libutf8proc-dev)
toplens_require(openssl/evp.h libssl-dev)
toplens_require(fmt/core.h libfmt-dev)
toplens_require(armadillo libarmadillo-dev)

# Debian's oneDNN runs on libgomp; the thread pool tells each of its workers to use one OpenMP
# thread, for which libgomp is linked by its runtime name so that Clang does not add libomp.
set(toplens_libraries dnnl hwy sentencepiece pcre2-8 utf8proc netcdf crypto fmt ${CMAKE_DL_LIBS} -l:libgomp.so.1)
set(toplens_include_directories "")

# MPI is for the executable alone, so that a program that uses the library needs none.
set(toplens_mpi_source no_mpi_channel.cc)
set(toplens_mpi_library "")
if(NOT TOPLENS_MPI MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "TOPLENS_MPI is ${TOPLENS_MPI}: expected AUTO, ON or OFF")
endif()
if(NOT TOPLENS_MPI STREQUAL "OFF")
  set(MPI_CXX_SKIP_MPICXX ON)  # the C interface is enough
  find_package(MPI QUIET COMPONENTS CXX)
  if(MPI_CXX_FOUND)
    set(toplens_mpi_source mpi_channel.cc)
    set(toplens_mpi_library MPI::MPI_CXX)
    message(STATUS "MPI: ${MPI_CXX_COMPILER}, version ${MPI_CXX_VERSION}")
  else()
    set(mpi_missing "MPI not found: install the Debian packages libopenmpi-dev and openmpi-bin, or load "
                    "your cluster's MPI so that mpicxx is in PATH")
    string(CONCAT mpi_missing ${mpi_missing})
    if(TOPLENS_MPI STREQUAL "ON")
      message(FATAL_ERROR "${mpi_missing}")
    endif()
    message(STATUS "${mpi_missing}; toplens is built for one machine")
  endif()
endif()
