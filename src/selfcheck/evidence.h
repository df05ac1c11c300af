#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/model_config.h"
#include "selfcheck/attention_facts.h"

namespace toplens {

/// What the tokenizer does with the text.
struct TokenizerFacts {
  std::string description;
  std::optional<std::int32_t> bos_id;  ///< added to every window; none: none is added
  std::string bos_source;
  int vocab_size = 0;
  std::size_t tokens = 0;   ///< of the whole text
  std::size_t unknown = 0;  ///< tokens that stand for text the vocabulary lacks
  std::size_t bytes = 0;    ///< tokens that are parts of a character
  std::string sample;       ///< the text's first kilobytes
  std::string decoded;      ///< what the sample's tokens decode to
  bool same_ids = false;    ///< `decoded` gives the sample's tokens again
};

/// The tokens that go through the model.
struct TokenFacts {
  std::size_t tokens = 0;  ///< of the whole text, no BOS added
  std::int32_t smallest_id = 0;
  std::int32_t largest_id = 0;
  double unigram_entropy = 0.0;  ///< of these tokens' frequencies, nats
  std::size_t windows = 0;
  std::size_t window_length = 0;
  std::string first_token;  ///< how the windows begin, in words
};

/// One window in float32 and bf16 arithmetic: its last positions.
struct LogitFacts {
  std::size_t positions = 0;
  double rms = 0.0;             ///< of the f32 logits about their mean at each position
  double rms_difference = 0.0;  ///< of bf16 minus f32, likewise
  std::size_t same_top = 0;     ///< positions whose most likely token is the same
  double largest = 0.0;         ///< |logit| in f32
};

/// The last token of a window replaced by another.
struct CausalityFacts {
  std::size_t positions = 0;  ///< before the replaced token
  std::size_t changed = 0;    ///< of these, hidden states with any other bit
  bool last_has_changed = false;
};

/// The same targets predicted in two ways; nats per token.
struct PairedLoss {
  std::size_t targets = 0;
  double first = 0.0, second = 0.0;
  double standard_error = 0.0;  ///< of the difference
};

/// As the files say (first) and with the other first token (second).
struct BosFacts {
  std::int32_t id = 0;
  bool added = false;
  PairedLoss loss;
};

/// The last quarter of the windows after all tokens before it (first) and after those of the
/// windows' second half alone (second).
struct PositionFacts {
  std::size_t least_before = 0;        ///< tokens before the first of these targets, and ...
  std::size_t least_before_short = 0;  ///< ... with the second half alone
  PairedLoss loss;
};

/// What the forward passes showed.
struct PassFacts {
  std::string compute;  ///< arithmetic of these passes: "f32" or "bf16"
  AttentionFacts attention;
  CausalityFacts causality;
  std::vector<std::vector<double>> window_nll;  ///< nats, [window][target]
  std::optional<BosFacts> bos;                  ///< none: no BOS is known
  std::optional<PositionFacts> positions;       ///< none: the windows are too short
  std::optional<LogitFacts> logits;             ///< none: `logits_error` says why
  std::string logits_error;
};

/// All that the checks judge. Where something could not be had, the error that says why.
struct Evidence {
  std::string checkpoint;        ///< what was opened, in words
  std::string checkpoint_error;  ///< then nothing else is there
  ModelConfig config;

  bool has_text = false;  ///< text, not token ids that are used as they are
  std::optional<TokenizerFacts> tokenizer;
  std::string tokenizer_error;
  std::optional<TokenFacts> tokens;

  std::uint64_t weight_bytes = 0;
  std::string non_finite_weight;  ///< empty: all weights are finite

  std::optional<PassFacts> passes;
  std::string pass_error;  ///< of a pass that was begun
};

}  // namespace toplens
