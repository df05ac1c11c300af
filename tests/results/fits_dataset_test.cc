#include "results/fits_dataset.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "base/random.h"
#include "kernels/normal_draws.h"
#include "results/netcdf_file.h"
#include "results/temporary_directory.h"
#include "results/theory_dataset.h"
#include "results/theory_part.h"
#include "theory/assumption_observer.h"
#include "theory/generative_model.h"

namespace toplens {
namespace {

std::vector<HeadFit> fit_all_heads(const AssumptionView& records) {
  ThreadPool pool(1);
  return fit_heads(records, 2027, pool);
}

/// Two layers with two query heads on one kv head, values and weights as an edit leaves them.
struct Case {
  std::string name;
  std::size_t documents = 16;
  std::size_t length = 64;
  int window = 0;
  std::function<void(std::size_t length, std::size_t dim, std::vector<float>& attention,
                     std::vector<float>& values)>
      edit;
};

constexpr std::size_t kDim = 16;

AssumptionRecords record(const Case& test) {
  ObservedPass pass;
  pass.num_layers = pass.num_query_heads = 2;
  pass.num_kv_heads = pass.num_workers = 1;
  pass.head_dim = kDim;
  pass.lane_lengths.assign(test.documents, static_cast<int>(test.length));
  std::vector<std::uint64_t> identities;
  for (std::size_t d = 0; d < test.documents; ++d) identities.push_back(d);
  AssumptionObserver observer({}, identities);
  observer.begin(pass);
  GenerativeParameters parameters;
  parameters.dimension = kDim;
  parameters.length = static_cast<double>(std::max<std::size_t>(4, test.length));
  const GenerativeHead head(parameters, {}, 5, 1);
  for (std::size_t d = 0; d < test.documents; ++d) {
    DrawnDocument drawn = head.draw(d);
    drawn.attention.resize(test.length);
    drawn.values.resize(test.length * kDim);
    if (test.edit) test.edit(test.length, kDim, drawn.attention, drawn.values);
    HeadView view;
    view.lane = static_cast<int>(d);
    view.length = static_cast<int>(test.length);
    view.window = test.window;
    view.first_query = view.length - 1;
    const std::size_t first = static_cast<std::size_t>(view.first_visible(view.length - 1));
    std::fill_n(drawn.attention.begin(), first, 0.0f);
    view.attention = {drawn.attention.data(), 1, test.length};
    view.values = {drawn.values.data(), test.length, kDim};
    for (int layer = 0; layer < 2; ++layer) {
      for (int query_head = 0; query_head < 2; ++query_head) {
        view.head = {layer, query_head};
        observer.observe(view, 0);
      }
    }
  }
  return observer.records();
}

/// Fits, bounds and predictions of all heads; what is measured is made up.
Dataset heads_dataset(const AssumptionRecords& records, const RunTheoryOptions& options = {}) {
  ThreadPool pool(1);
  PooledTheory theory;
  theory.shape = records.shape;
  const auto measured = [](std::size_t document, std::size_t, std::size_t, std::size_t,
                           std::size_t) {
    Separability result = zero_separability();
    result.precision = result.recall = result.f_score = document % 2 == 0 ? 0.5 : 1.0;
    result.inversions = std::numeric_limits<double>::quiet_NaN();
    return result;
  };
  theory.run = evaluate_layers(view_of(records), measured, options, pool);
  Dataset dataset = make_heads_dataset(records.shape.layers, records.shape.heads);
  add_fit_variables(dataset, theory.run.fits, records.shape);
  add_theory_variables(dataset, theory, options);
  HeadTable table(2, 2);  // names are new, columns are as long as the table
  add_theory_columns(table, theory, options);
  return dataset;
}

class FitsOf : public ::testing::TestWithParam<Case> {};

void expect_reasons(const Dataset& dataset) {
  std::size_t checked = 0;
  for (const LabelledArray& variable : dataset.variables()) {
    const auto* values = std::get_if<std::vector<double>>(&variable.values);
    EXPECT_TRUE(variable.attributes.contains("long_name")) << variable.name;
    if (values == nullptr) continue;
    EXPECT_TRUE(variable.attributes.contains("units")) << variable.name;
    ASSERT_TRUE(variable.attributes.contains("reason")) << variable.name;
    const auto reasons =
        dataset.values<std::string>(std::get<std::string>(variable.attributes.at("reason")));
    ASSERT_EQ(reasons.size(), values->size()) << variable.name;
    for (std::size_t i = 0; i < values->size(); ++i) {
      EXPECT_FALSE(std::isinf((*values)[i])) << variable.name;
      if (std::isnan((*values)[i])) {
        EXPECT_NE(reasons[i], "") << variable.name << " at " << i;
      }
      ++checked;
    }
  }
  EXPECT_GT(checked, 100u);
}

TEST_P(FitsOf, NoFigureIsNanWithoutAReason) {
  const AssumptionRecords records = record(GetParam());
  RunTheoryOptions options;
  expect_reasons(heads_dataset(records, options));
  options.head.weights = WeightSource::profile;
  options.head.profile_draws = options.head.scalar_draws = 2;
  options.dimension = EffectiveDimension::effective_rank;
  options.residuals = ResidualSource::isotropic;
  expect_reasons(heads_dataset(records, options));
}

TEST_P(FitsOf, RecordsSurviveTheFile) {
  const AssumptionRecords records = record(GetParam());
  Dataset part;
  std::vector<std::string> documents;
  for (std::size_t d = 0; d < GetParam().documents; ++d) documents.push_back(std::to_string(d));
  part.add_coordinate("document", documents);
  part.add_coordinate("layer", std::vector<std::int32_t>{0, 1});
  part.add_dimension("head", 2);
  add_theory_records(part, records);
  const testing::TemporaryDirectory directory;
  write_netcdf(directory.path() / "part.nc", part);
  const Dataset read = read_netcdf(directory.path() / "part.nc", theory_record_names());
  const AssumptionView view = theory_records(read);
  EXPECT_EQ(view.shape.layout.set_sizes, records.shape.layout.set_sizes);
  EXPECT_EQ(view.shape.layout.rankings, records.shape.layout.rankings);
  const auto table = [](std::span<const HeadFit> fits) {
    HeadTable heads(2, 2);
    add_fit_columns(heads, fits);
    return heads.to_csv();
  };
  EXPECT_EQ(table(fit_all_heads(view)), table(fit_all_heads(view_of(records))));
}

void one_value(std::size_t, std::size_t dim, std::vector<float>&, std::vector<float>& values) {
  for (std::size_t i = dim; i < values.size(); ++i) values[i] = values[i % dim];
}
void zero_values(std::size_t, std::size_t, std::vector<float>&, std::vector<float>& values) {
  std::fill(values.begin(), values.end(), 0.0f);
}
void zero_sink(std::size_t, std::size_t dim, std::vector<float>&, std::vector<float>& values) {
  std::fill_n(values.begin(), dim, 0.0f);
}
void zero_every_other(std::size_t length, std::size_t dim, std::vector<float>&,
                      std::vector<float>& values) {
  for (std::size_t i = 0; i < length; i += 2) {
    std::fill_n(values.begin() + static_cast<std::ptrdiff_t>(i * dim), dim, 0.0f);
  }
}
void constant_norms(std::size_t length, std::size_t dim, std::vector<float>&,
                    std::vector<float>& values) {
  for (std::size_t i = 0; i < length; ++i) {
    for (std::size_t c = 0; c < dim; ++c) values[i * dim + c] = values[i * dim + c] > 0 ? 1 : -1;
  }
}
void one_hot(std::size_t length, std::size_t, std::vector<float>& attention, std::vector<float>&) {
  std::fill(attention.begin(), attention.end(), 0.0f);
  attention[length - 1] = 1.0f;
}
void zero_sink_weight(std::size_t, std::size_t, std::vector<float>& attention,
                      std::vector<float>&) {
  attention[0] = 0.0f;
}

INSTANTIATE_TEST_SUITE_P(
    Inputs, FitsOf,
    ::testing::Values(Case{"generated", 16, 64, 0, {}}, Case{"few_documents", 7, 64, 0, {}},
                      Case{"no_oscillation_test", 8, 64, 0, {}}, Case{"two_tokens", 16, 2, 0, {}},
                      Case{"three_tokens", 16, 3, 0, {}}, Case{"nine_tokens", 16, 9, 0, {}},
                      Case{"window", 16, 64, 20, {}}, Case{"window_of_one", 16, 64, 1, {}},
                      Case{"one_value", 16, 64, 0, one_value},
                      Case{"zero_values", 16, 64, 0, zero_values},
                      Case{"zero_sink", 16, 64, 0, zero_sink},
                      Case{"zero_every_other", 16, 64, 0, zero_every_other},
                      Case{"constant_norms", 16, 64, 0, constant_norms},
                      Case{"one_hot", 16, 64, 0, one_hot},
                      Case{"zero_sink_weight", 16, 64, 0, zero_sink_weight}),
    [](const auto& info) { return info.param.name; });

TEST(FitsDataset, SaysInWordsWhatCouldNotBeEstimated) {
  const auto reason = [](const Case& test, const char* variable) {
    const AssumptionRecords records = record(test);
    const Dataset dataset = heads_dataset(records);
    return dataset.values<std::string>(variable).front();
  };
  EXPECT_EQ(reason({"", 7, 64, 0, {}}, "norm_reason"), "not estimable: fewer than 8 documents");
  EXPECT_EQ(reason({"", 16, 64, 0, zero_values}, "similarity_reason"),
            "not estimable: the value vectors are zero");
  EXPECT_EQ(reason({"", 16, 64, 20, {}}, "sink_norm_reason"),
            "not estimable: token 0 is outside the window");
  EXPECT_EQ(reason({"", 16, 2, 0, {}}, "similarity_reason"),
            "not estimable: fewer than 3 visible tokens");
  EXPECT_EQ(reason({"", 16, 64, 0, one_hot}, "profile_reason"),
            "not estimable: attention weights are zero");
  EXPECT_EQ(reason({"", 16, 64, 0, one_value}, "decay_reason"),
            "no decay: the constant predicts held-out documents as well");
  EXPECT_EQ(reason({"", 16, 64, 0, constant_norms}, "norm_reason"), "");
}

}  // namespace
}  // namespace toplens
