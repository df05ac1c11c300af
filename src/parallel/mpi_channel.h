#pragma once

#include <memory>

#include "parallel/channel.h"
#include "parallel/launch.h"

namespace toplens {

/// Initialises MPI, once in a process, and connects its ranks. Throws Error where toplens was built
/// without MPI, where MPI offers too little, or where it sees other processes than `launch` says.
/// Defined for the executable alone: the library needs no MPI.
std::unique_ptr<Channel> open_mpi_channel(const Launch& launch);

}  // namespace toplens
