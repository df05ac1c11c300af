#include "selfcheck/attention_facts.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

namespace toplens {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Keeps the worse of two values with where it was; equal ones stay where they are.
void keep_worse(double value, HeadId head, int query, double& worst, HeadId& worst_head,
                int& worst_query) {
  if (value <= worst) return;
  worst = value;
  worst_head = head;
  worst_query = query;
}

/// Earlier layers, heads and queries first: which worker saw a row must not matter.
bool before(HeadId a, int a_query, HeadId b, int b_query) {
  if (a.layer != b.layer) return a.layer < b.layer;
  if (a.query_head != b.query_head) return a.query_head < b.query_head;
  return a_query < b_query;
}

void merge_worst(double value, HeadId head, int query, double& worst, HeadId& worst_head,
                 int& worst_query) {
  if (value < worst) return;
  if (value == worst && !before(head, query, worst_head, worst_query)) return;
  worst = value;
  worst_head = head;
  worst_query = query;
}

void add_row(AttentionFacts& facts, const HeadView& view, int query, std::span<const float> row) {
  const auto first = static_cast<std::size_t>(view.first_visible(query));
  const auto last = static_cast<std::size_t>(query);
  double sum = 0.0, outside = 0.0;
  float largest = 0.0f, smallest = std::numeric_limits<float>::infinity();
  for (std::size_t key = 0; key < row.size(); ++key) {
    const float weight = row[key];
    if (key < first || key > last) {
      outside = std::max(outside, std::isfinite(weight) ? std::abs(double{weight}) : kInfinity);
      continue;
    }
    sum += double{weight};
    largest = std::max(largest, weight);
    smallest = std::min(smallest, weight);
  }
  ++facts.rows;
  const double error = std::isfinite(sum) ? std::abs(sum - 1.0) : kInfinity;
  keep_worse(error, view.head, query, facts.largest_sum_error, facts.sum_error_head,
             facts.sum_error_query);
  keep_worse(outside, view.head, query, facts.largest_outside, facts.outside_head,
             facts.outside_query);
  const double ratio = smallest > 0.0f ? std::log(double{largest} / double{smallest}) : kInfinity;
  facts.largest_log_ratio = std::max(facts.largest_log_ratio, ratio);
  if (first == 0) return;
  ++facts.full_window_rows;
  facts.rows_at_edge += row[first] > 0.0f ? 1 : 0;
}

}  // namespace

void AttentionFactsObserver::begin(const ObservedPass& pass) {
  of_workers_.assign(static_cast<std::size_t>(pass.num_workers), {});
}

void AttentionFactsObserver::observe(const HeadView& view, int worker) {
  AttentionFacts& facts = of_workers_[static_cast<std::size_t>(worker)];
  for (std::size_t row = 0; row < view.attention.rows(); ++row) {
    add_row(facts, view, view.first_query + static_cast<int>(row), view.attention.row(row));
  }
}

void AttentionFactsObserver::end() {
  for (const AttentionFacts& facts : of_workers_) {
    facts_.rows += facts.rows;
    facts_.full_window_rows += facts.full_window_rows;
    facts_.rows_at_edge += facts.rows_at_edge;
    facts_.largest_log_ratio = std::max(facts_.largest_log_ratio, facts.largest_log_ratio);
    merge_worst(facts.largest_sum_error, facts.sum_error_head, facts.sum_error_query,
                facts_.largest_sum_error, facts_.sum_error_head, facts_.sum_error_query);
    merge_worst(facts.largest_outside, facts.outside_head, facts.outside_query,
                facts_.largest_outside, facts_.outside_head, facts_.outside_query);
  }
  of_workers_.clear();
}

}  // namespace toplens
