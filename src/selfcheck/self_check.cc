#include "selfcheck/self_check.h"

#include <algorithm>
#include <array>

#include "selfcheck/engine_checks.h"
#include "selfcheck/loss_checks.h"
#include "selfcheck/tokenizer_checks.h"

namespace toplens {
namespace {

Finding check_checkpoint(const Evidence& evidence) {
  if (evidence.checkpoint_error.empty()) return {CheckStatus::pass, evidence.checkpoint};
  return {CheckStatus::fail, evidence.checkpoint_error};
}

constexpr std::array kChecks = {
    SelfCheck{"checkpoint", "Are all tensors and keys there and understood?", check_checkpoint},
    SelfCheck{"weights", "Are all weights finite?", check_weights},
    SelfCheck{"round trip", "Does the text come back from its tokens?", check_round_trip},
    SelfCheck{"coverage", "Does the vocabulary know the text's words?", check_coverage},
    SelfCheck{"vocabulary", "Has the model a row for every token?", check_vocabulary},
    SelfCheck{"BOS", "Do the checkpoint's files agree on the first token?", check_bos},
    SelfCheck{"activations", "Does the text go through all layers, finite?", check_activations},
    SelfCheck{"attention sums", "Do the attention weights of each row sum to 1?",
              check_attention_sums},
    SelfCheck{"causality", "Do tokens depend on earlier ones alone?", check_causality},
    SelfCheck{"windows", "Does a query see its window, all of it and no more?", check_windows},
    SelfCheck{"attention soft-cap", "Do scores stay within the soft-cap?", check_attention_softcap},
    SelfCheck{"final soft-cap", "Do logits stay within the soft-cap?", check_final_softcap},
    SelfCheck{"bf16", "Do bf16 products give the logits of float32?", check_bf16},
    SelfCheck{"loss", "Does the model predict the text better than its token frequencies do?",
              check_loss},
    SelfCheck{"BOS effect", "Is the text predicted best with the BOS that the files ask for?",
              check_bos_effect},
    SelfCheck{"positions", "Does a longer context help, or at least not harm?", check_positions},
};

}  // namespace

std::span<const SelfCheck> self_checks() { return kChecks; }

std::vector<CheckResult> judge(const Evidence& evidence) {
  std::vector<CheckResult> results;
  for (const SelfCheck& check : kChecks) {
    const bool opened = evidence.checkpoint_error.empty();
    results.push_back({check.name, check.asks,
                       opened || results.empty()
                           ? check.judge(evidence)
                           : Finding{CheckStatus::skipped, "the checkpoint could not be opened"}});
  }
  return results;
}

std::size_t count_failures(std::span<const CheckResult> results) {
  return static_cast<std::size_t>(std::count_if(
      results.begin(), results.end(),
      [](const CheckResult& result) { return result.finding.status == CheckStatus::fail; }));
}

}  // namespace toplens
