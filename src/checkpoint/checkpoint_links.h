#pragma once

#include <filesystem>

namespace toplens {

/// Throws Error where a file of a checkpoint directory is a symbolic link that leads out of it, or
/// no regular file. A link may lead elsewhere in the directory, and from a snapshot of a Hugging
/// Face cache (models--NAME/snapshots/REVISION) to the blobs of the same model. Links to
/// directories and links that lead nowhere are left alone: nothing is read through them. The path
/// itself may be a link, or a GGUF file: that is what the user named.
void check_links(const std::filesystem::path& checkpoint);

}  // namespace toplens
