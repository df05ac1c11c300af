#include "parallel/mpi_channel.h"

#include <mpi.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <thread>

#include <fmt/format.h>
#include <toplens/error.h>

namespace toplens {
namespace {

// How long a rank that failed waits for rank 0 to print why and end the run.
constexpr std::chrono::seconds kLastWait{120};

void check(int status, const char* action) {
  if (status == MPI_SUCCESS) return;
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  MPI_Error_string(status, text.data(), &length);
  throw Error(fmt::format("MPI cannot {}: {}", action,
                          std::string(text.data(), static_cast<std::size_t>(std::max(length, 0)))));
}

class MpiChannel : public Channel {
 public:
  explicit MpiChannel(const Launch& launch) {
    int provided = 0;
    // Serialized: rank 0 answers from a thread of its own, and no other one calls MPI meanwhile.
    if (MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided) != MPI_SUCCESS) {
      throw Error("MPI cannot be initialised");
    }
    open_ = true;
    check(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "handle errors");
    check(MPI_Comm_rank(MPI_COMM_WORLD, &rank_), "tell this rank");
    check(MPI_Comm_size(MPI_COMM_WORLD, &size_), "tell the number of ranks");
    if (provided < MPI_THREAD_SERIALIZED) {
      throw Error("this MPI does not allow calls from several threads (MPI_THREAD_SERIALIZED)");
    }
    if (launch.size != 1 && size_ != launch.size) {
      throw Error(fmt::format(
          "{} started {} processes but MPI connects {}: use the launcher of the MPI that toplens "
          "was built with (under Slurm, srun --mpi=pmix or --mpi=pmi2)",
          launch.launcher, launch.size, size_));
    }
  }

  ~MpiChannel() override {
    // Not closed: a failure that abandon() will or did tell the launcher of.
    if (open_) abandon(1);
  }
  MpiChannel(const MpiChannel&) = delete;
  MpiChannel& operator=(const MpiChannel&) = delete;

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  void send(int to, MessageKind kind, std::string_view bytes) override {
    MPI_Request request = MPI_REQUEST_NULL;
    check(MPI_Isend(bytes.data(), static_cast<int>(bytes.size()), MPI_BYTE, to,
                    static_cast<int>(kind), MPI_COMM_WORLD, &request),
          "send");
    int sent = 0;
    while (true) {
      check(MPI_Test(&request, &sent, MPI_STATUS_IGNORE), "send");
      if (sent != 0) return;
      std::this_thread::yield();
    }
  }

  std::optional<Message> poll() override {
    int arrived = 0;
    MPI_Status status;
    check(MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD, &arrived, &status),
          "look for messages");
    if (arrived == 0) return std::nullopt;
    int size = 0;
    check(MPI_Get_count(&status, MPI_BYTE, &size), "tell a message's size");
    Message message{status.MPI_SOURCE, static_cast<MessageKind>(status.MPI_TAG), {}};
    message.bytes.resize(static_cast<std::size_t>(size));
    check(MPI_Recv(message.bytes.data(), size, MPI_BYTE, status.MPI_SOURCE, status.MPI_TAG,
                   MPI_COMM_WORLD, MPI_STATUS_IGNORE),
          "receive");
    return message;
  }

  void close() override {
    open_ = false;
    check(MPI_Finalize(), "finish");
  }

  void abandon(int exit_code) noexcept override {
    if (!open_) return;
    open_ = false;
    if (rank_ != 0) {
      std::signal(SIGTERM, SIG_DFL);  // how most launchers end the other ranks
      std::this_thread::sleep_for(kLastWait);
    }
    MPI_Abort(MPI_COMM_WORLD, exit_code);
  }

 private:
  int rank_ = 0, size_ = 1;
  bool open_ = false;
};

}  // namespace

std::unique_ptr<Channel> open_mpi_channel(const Launch& launch) {
  return std::make_unique<MpiChannel>(launch);
}

}  // namespace toplens
