#include <gtest/gtest.h>

#include <cmath>
#include <ostream>
#include <string_view>
#include <utility>
#include <vector>

#include "theory/head_fit.h"
#include "theory/recorded_head.h"

namespace toplens {
namespace {

struct Setting {
  int dim;
  int length;
  int heads;
};

void PrintTo(const Setting& setting, std::ostream* out) {
  *out << "d" << setting.dim << "_L" << setting.length;
}

/// Over the heads of one setting: the mean error (bias) and how many heads are within a tolerance.
class Errors {
 public:
  void add(double error, double tolerance) {
    sum_ += error;
    squares_ += error * error;
    ++count_;
    within_ += std::abs(error) <= tolerance ? 1 : 0;
  }
  double bias() const { return sum_ / count_; }
  double rms() const { return std::sqrt(squares_ / count_); }
  double share_within() const { return within_ / count_; }
  double count() const { return count_; }

 private:
  double sum_ = 0.0, squares_ = 0.0, count_ = 0.0, within_ = 0.0;
};

class FitRecovery : public ::testing::TestWithParam<Setting> {};

TEST_P(FitRecovery, ParametersOfGeneratedHeads) {
  constexpr std::size_t kDocuments = 32;
  const std::vector<std::string_view> fixed = {"length", "dim"};
  GenerativeParameters kept;
  kept.dimension = GetParam().dim;
  kept.length = GetParam().length;
  AssumptionOptions options;
  options.rankings = {};
  options.effective_rank_documents = 0;
  Errors c, kappa, delta, b, amplitude, rho, length;
  for (int head = 0; head < GetParam().heads; ++head) {
    Random random(11, {static_cast<std::uint64_t>(head)});
    const GenerativeParameters parameters = draw_parameters(kept, fixed, random);
    const GenerativeHead generator(parameters, {}, 3, static_cast<std::uint64_t>(head));
    const AssumptionRecords records =
        testing::record(testing::draw_documents(generator, kDocuments),
                        static_cast<std::size_t>(GetParam().dim), options);
    const ValueFit fit = fit_values(view_of(records), 0, 0, 2027);
    ASSERT_EQ(fit.norms.reason, FitReason::estimated);
    c.add(fit.norms.mean_norm - 1.0, 0.02);
    kappa.add(fit.norms.sink_ratio / parameters.sink_norm_ratio - 1.0, 0.02);
    delta.add(fit.norms.spread / parameters.norm_spread - 1.0, 0.05);
    rho.add(fit.sink_similarity.mean - parameters.sink_similarity, 0.02);
    const SimilarityFit& similarity = fit.similarity;
    ASSERT_EQ(similarity.reason, FitReason::estimated);
    if (similarity.decay_reason != FitReason::estimated) continue;
    b.add(similarity.similarity.constant - parameters.similarity, 0.02);
    amplitude.add(similarity.similarity.amplitude - parameters.decay_amplitude, 0.02);
    length.add(similarity.similarity.length / parameters.decay_length - 1.0, 0.15);
  }
  // Every head, not the mean over them.
  for (const auto& [name, errors] :
       {std::pair("c", c), std::pair("kappa", kappa), std::pair("delta", delta),
        std::pair("rho_0", rho), std::pair("b", b), std::pair("A", amplitude),
        std::pair("lambda", length)}) {
    EXPECT_EQ(errors.share_within(), 1.0)
        << name << ": bias " << errors.bias() << " root mean square " << errors.rms();
  }
  EXPECT_GE(length.count(), 0.9 * GetParam().heads) << "heads whose decay is present by the rule";
}

INSTANTIATE_TEST_SUITE_P(Settings, FitRecovery,
                         ::testing::Values(Setting{64, 256, 34}, Setting{128, 256, 34},
                                           Setting{256, 256, 33}, Setting{64, 1024, 33},
                                           Setting{128, 1024, 33}, Setting{256, 1024, 33}),
                         ::testing::PrintToStringParamName());

}  // namespace
}  // namespace toplens
