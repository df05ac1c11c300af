#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "results/dataset_comparison.h"
#include "results/run_directory.h"

namespace toplens {

/// Compares results with the files of the same names instead of writing them.
class ResultComparison : public ResultSink {
 public:
  explicit ResultComparison(std::filesystem::path run_directory)
      : directory_(std::move(run_directory)) {}
  void write_dataset(std::string_view file_name, const Dataset& dataset) override;
  void write_text(std::string_view file_name, std::string_view contents) override;

  const std::vector<std::string>& files() const { return files_; }
  /// A sentence for each file that cannot be read or does not have the form of the result.
  const std::vector<std::string>& unusable() const { return unusable_; }
  /// A sentence for each text that differs: the first place where it does.
  const std::vector<std::string>& texts() const { return texts_; }
  /// Of all datasets together; variables are called "heads.nc: f_score".
  const DatasetDifference& datasets() const { return datasets_; }
  bool same() const { return unusable_.empty() && texts_.empty() && datasets_.same(); }

 private:
  std::filesystem::path directory_;
  std::vector<std::string> files_, unusable_, texts_;
  DatasetDifference datasets_;
};

/// The first place where two texts differ, in words; a column is named by the first line of a CSV
/// text. Empty where they are the same.
std::string first_text_difference(std::string_view recorded, std::string_view computed, bool csv);

/// "12 of 34 values differ, most margin (layer 1, head 2): 0.5 recorded, 0.25 computed now".
std::string describe(const DatasetDifference& difference);

/// What other processors and libraries may change: the largest share of a variable's values that
/// are further apart than kFarDistance. For compute mode "f32" or "bf16".
double most_far_values(std::string_view compute);
/// Whether it is more than that; a single value of a variable never is.
bool is_too_far(const DatasetDifference& difference, double most_far_values);

}  // namespace toplens
