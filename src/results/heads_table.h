#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "parallel/thread_pool.h"
#include "results/csv_table.h"
#include "results/geometry_dataset.h"

namespace toplens {

/// The table of heads.csv: one row for each layer and query head, columns added in groups.
class HeadTable {
 public:
  HeadTable(int num_layers, int num_query_heads);

  std::size_t num_rows() const { return table_.num_rows(); }
  int num_query_heads() const { return num_query_heads_; }
  /// One value for each head, layer-major. NaN becomes an empty cell. Names must be new.
  void add_column(const std::string& name, ArrayValues values) {
    table_.add_column(name, std::move(values));
  }
  std::string to_csv() const { return table_.to_csv(); }

 private:
  CsvTable table_;
  int num_query_heads_;
};

/// Columns layer, head, kv_head, documents.
void add_head_columns(HeadTable& table, int num_kv_heads, std::size_t documents);

struct BootstrapOptions {
  std::size_t resamples = 2000;
  double level = 0.95;
  std::uint64_t seed = 2027;
};

/// Column not_defined (set sizes that no document defines for this head, as "256;512": visible
/// tokens <= N), and for each ranking, distance and set size precision_, recall_, f_score_,
/// f_score_low_, f_score_high_, margin_, inversions_ with the suffix <ranking>_<distance>_<N>:
/// means over documents, and the bootstrap interval of F (empty with fewer than two documents).
void add_geometry_columns(HeadTable& table, const GeometryView& geometry,
                          const BootstrapOptions& options, ThreadPool& pool);

}  // namespace toplens
