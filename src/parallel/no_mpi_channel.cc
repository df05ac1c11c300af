// Compiled instead of mpi_channel.cc where CMake finds no MPI.

#include <fmt/format.h>
#include <toplens/error.h>

#include "parallel/mpi_channel.h"

namespace toplens {

std::unique_ptr<Channel> open_mpi_channel(const Launch& launch) {
  throw Error(fmt::format(
      "{}this toplens was built without MPI: install the Debian packages libopenmpi-dev and "
      "openmpi-bin (or load your cluster's MPI) and build again",
      launch.size > 1
          ? fmt::format("started as {} processes by {}, but ", launch.size, launch.launcher)
          : ""));
}

}  // namespace toplens
