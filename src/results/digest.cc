#include "results/digest.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <fstream>

#include <fmt/format.h>

#include <toplens/error.h>

#include "checkpoint/gguf_header.h"
#include "io/mapped_file.h"

namespace toplens {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kSamplePieces = 64;
constexpr std::uint64_t kPieceBytes = 4096;
constexpr std::uint64_t kBufferBytes = std::uint64_t{1} << 20;

// Token ids and header lengths are hashed as they lie in memory.
static_assert(std::endian::native == std::endian::little);

class InputFile {
 public:
  explicit InputFile(const fs::path& path) : path_(path), stream_(path, std::ios::binary) {
    std::error_code error;
    size_ = fs::file_size(path, error);
    if (!stream_) fail(std::strerror(errno));
    if (error) fail(error.message());
  }
  std::uint64_t size() const { return size_; }
  const fs::path& path() const { return path_; }

  void read(std::uint64_t offset, std::span<std::byte> bytes) {
    stream_.seekg(static_cast<std::streamoff>(offset));
    if (!stream_.read(reinterpret_cast<char*>(bytes.data()),
                      static_cast<std::streamsize>(bytes.size())))
      fail("file changed while it was read");
  }
  void update(Sha256& digest, std::uint64_t offset, std::uint64_t length,
              const std::function<void()>& step = {}) {
    std::vector<std::byte> buffer(std::min(length, kBufferBytes));
    while (length > 0) {
      const std::span<std::byte> piece(buffer.data(),
                                       std::min<std::uint64_t>(length, buffer.size()));
      read(offset, piece);
      digest.update(piece);
      offset += piece.size();
      length -= piece.size();
      if (step) step();
    }
  }
  [[noreturn]] void fail(std::string_view reason) const {
    throw Error(fmt::format("{}: cannot read: {}", path_.string(), reason));
  }

 private:
  fs::path path_;
  std::ifstream stream_;
  std::uint64_t size_ = 0;
};

// Bytes of a weight file before its tensors.
std::uint64_t header_bytes(InputFile& file) {
  std::array<char, 4> magic{};
  if (file.size() >= magic.size()) file.read(0, std::as_writable_bytes(std::span(magic)));
  if (std::string_view(magic.data(), magic.size()) == "GGUF") {
    const MappedFile mapped(file.path());
    const std::uint64_t end = parse_gguf_header(mapped.bytes(), file.path().string()).data_offset;
    mapped.check_intact();
    return std::min(end, file.size());
  }
  std::uint64_t length = 0;
  if (file.size() < sizeof(length)) file.fail("too short for a safetensors file");
  file.read(0, std::as_writable_bytes(std::span(&length, 1)));
  if (length > file.size() - sizeof(length))
    file.fail("safetensors header is longer than the file");
  return length + sizeof(length);
}

std::string header_digest(const fs::path& path) {
  InputFile file(path);
  Sha256 digest;
  file.update(digest, 0, header_bytes(file));
  return digest.finish();
}

void sample_weights(Sha256& digest, const fs::path& path) {
  InputFile file(path);
  const std::uint64_t header = header_bytes(file);
  const std::uint64_t data = file.size() - header;
  digest.update(fmt::format("{}:", file.size()));
  file.update(digest, 0, header);
  if (data <= kSamplePieces * kPieceBytes) return file.update(digest, header, data);
  for (std::size_t i = 0; i < kSamplePieces; ++i) {
    const std::uint64_t offset = (data - kPieceBytes) * i / (kSamplePieces - 1);
    file.update(digest, header + offset, kPieceBytes);
  }
}

}  // namespace

struct Sha256::State {
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context{EVP_MD_CTX_new(),
                                                                  &EVP_MD_CTX_free};
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  if (state_->context == nullptr ||
      EVP_DigestInit_ex(state_->context.get(), EVP_sha256(), nullptr) != 1)
    throw Error("libcrypto offers no SHA-256");
}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::update(std::span<const std::byte> bytes) {
  if (EVP_DigestUpdate(state_->context.get(), bytes.data(), bytes.size()) != 1)
    throw Error("libcrypto failed to update a SHA-256");
}

std::string Sha256::finish() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
  unsigned length = 0;
  if (EVP_DigestFinal_ex(state_->context.get(), bytes.data(), &length) != 1)
    throw Error("libcrypto failed to finish a SHA-256");
  std::string hex;
  for (unsigned i = 0; i < length; ++i) hex += fmt::format("{:02x}", bytes[i]);
  return hex;
}

std::string sha256(std::string_view text) {
  Sha256 digest;
  digest.update(text);
  return digest.finish();
}

std::string sha256_file(const fs::path& path, const std::function<void()>& step) {
  InputFile file(path);
  Sha256 digest;
  file.update(digest, 0, file.size(), step);
  return digest.finish();
}

std::map<std::string, std::string> digest_weight_files(std::span<const fs::path> weight_files,
                                                       const std::function<void()>& step) {
  std::map<std::string, std::string> digests;
  for (const fs::path& file : weight_files) {
    digests[file.filename().string()] = sha256_file(file, step);
  }
  return digests;
}

CheckpointDigests digest_checkpoint(const fs::path& checkpoint,
                                    std::span<const fs::path> weight_files,
                                    const fs::path& tokenizer_file) {
  CheckpointDigests digests;
  if (is_gguf_path(checkpoint)) {
    digests.config = digests.index = header_digest(checkpoint);
    if (!tokenizer_file.empty()) digests.tokenizer = digests.config;
  } else {
    digests.config = sha256_file(checkpoint / "config.json");
    const fs::path index = checkpoint / "model.safetensors.index.json";
    digests.index =
        fs::exists(index) ? sha256_file(index) : header_digest(checkpoint / "model.safetensors");
    if (!tokenizer_file.empty()) digests.tokenizer = sha256_file(tokenizer_file);
  }
  Sha256 weights;
  for (const fs::path& file : weight_files) sample_weights(weights, file);
  digests.weights_sample = weights.finish();
  return digests;
}

std::uint64_t digest_steps(std::uint64_t bytes) {
  return (bytes + kBufferBytes - 1) / kBufferBytes;
}

std::string digest_token_ids(std::span<const std::vector<std::int32_t>> windows) {
  Sha256 digest;
  for (const std::vector<std::int32_t>& ids : windows) {
    const auto length = static_cast<std::int32_t>(ids.size());
    digest.update(std::as_bytes(std::span(&length, 1)));
    digest.update(std::as_bytes(std::span(ids)));
  }
  return digest.finish();
}

}  // namespace toplens
