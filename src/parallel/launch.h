#pragma once

#include <functional>
#include <string>

namespace toplens {

/// How a launcher (mpirun, srun) started this process, as its environment tells it before MPI is
/// initialised.
struct Launch {
  int rank = 0;
  int size = 1;          ///< processes started together
  std::string launcher;  ///< "mpirun" or "srun"; empty where none was recognised
};

/// `environment` gives a variable's value or nullptr: std::getenv.
Launch find_launch(const std::function<const char*(const char*)>& environment);

}  // namespace toplens
