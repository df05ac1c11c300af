#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "results/dataset.h"

namespace toplens {

/// A table that is written as CSV: columns of the same length, each with a name.
class CsvTable {
 public:
  explicit CsvTable(std::size_t num_rows) : num_rows_(num_rows) {}

  std::size_t num_rows() const { return num_rows_; }
  /// One value for each row. NaN becomes an empty cell. Names must be new.
  void add_column(const std::string& name, ArrayValues values);
  /// RFC 4180 with \n line ends; numbers are the shortest that read back as the same value.
  std::string to_csv() const;

 private:
  struct Column {
    std::string name;
    ArrayValues values;
  };
  std::size_t num_rows_;
  std::vector<Column> columns_;
};

}  // namespace toplens
