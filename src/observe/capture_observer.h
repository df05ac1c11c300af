#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

#include <toplens/observer.h>

#include "io/npy.h"

namespace toplens {

/// What a CaptureObserver stores, of one document.
struct CaptureRequest {
  bool attention = false;
  bool values = false;
  bool head_output = false;
  std::vector<int> layers;  ///< increasing; their order in the arrays
};

/// Streams the heads of one lane into .npy files: attention [layer, head, query, key], values
/// [layer, kv_head, key, head_dim], head_output [layer, head, query, head_dim], float32.
class CaptureObserver : public AttentionObserver {
 public:
  CaptureObserver(CaptureRequest request, std::filesystem::path directory);

  QuerySelection queries() const override { return QuerySelection::all(); }
  void begin(const ObservedPass& pass) override;
  void observe(const HeadView& view, int worker) override;
  /// The files appear; without this nothing is left behind.
  void finish();

 private:
  CaptureRequest request_;
  std::filesystem::path directory_;
  std::uint64_t heads_ = 0, kv_heads_ = 0, length_ = 0, head_dim_ = 0;
  std::unique_ptr<NpyFloatWriter> attention_, values_, head_output_;
};

}  // namespace toplens
