#include "checkpoint/checkpoint_links.h"

#include <fmt/core.h>
#include <toplens/error.h>

#include <algorithm>

#include "io/system_error.h"

namespace toplens {
namespace {

namespace fs = std::filesystem;

bool is_inside(const fs::path& file, const fs::path& directory) {
  const auto [end, unused] =
      std::mismatch(directory.begin(), directory.end(), file.begin(), file.end());
  return end == directory.end();
}

/// The blobs that the links of a snapshot lead to; empty for other directories.
fs::path blobs_of(const fs::path& directory) {
  const fs::path snapshots = directory.parent_path(), model = snapshots.parent_path();
  if (snapshots.filename() != "snapshots" || !model.filename().string().starts_with("models--")) {
    return {};
  }
  return model / "blobs";
}

}  // namespace

void check_links(const fs::path& checkpoint) {
  std::error_code error;
  if (!fs::is_directory(checkpoint, error)) return;
  const fs::path directory = fs::canonical(checkpoint, error);
  if (error) throw_system_error(checkpoint, "cannot resolve", error.value());
  const fs::path blobs = blobs_of(directory);
  const fs::directory_iterator entries(checkpoint, error);
  if (error) throw_system_error(checkpoint, "cannot list", error.value());
  for (const fs::directory_entry& entry : entries) {
    const fs::file_status status = fs::status(entry.path(), error);
    if (!fs::exists(status) || fs::is_directory(status)) continue;
    if (!fs::is_regular_file(status)) {
      throw Error(fmt::format("{}: is no regular file; a checkpoint holds none else",
                              entry.path().string()));
    }
    if (!entry.is_symlink(error)) continue;
    const fs::path target = fs::canonical(entry.path(), error);
    if (error) throw_system_error(entry.path(), "cannot resolve", error.value());
    if (is_inside(target, directory) || (!blobs.empty() && is_inside(target, blobs))) {
      continue;
    }
    throw Error(
        fmt::format("{}: is a symbolic link to {}, outside the checkpoint; give --follow-links if "
                    "you trust it",
                    entry.path().string(), target.string()));
  }
}

}  // namespace toplens
