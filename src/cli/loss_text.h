#pragma once

#include <functional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "cli/options.h"
#include "intervention/loss_protocol.h"

namespace toplens {

/// --text, --documents, --context-lengths, --score-tail: the windows whose loss is measured.
struct LossTextArguments {
  TextArguments text;
  int documents = 32;
  std::vector<int> context_lengths;
  int score_tail = 0;

  /// `matched`: with --context-lengths.
  void add_to(CLI::App& command, bool matched);
};

/// The windows of a measurement and how they are recorded.
struct LossText {
  LoadedText loaded;
  LossProtocol protocol;
  std::vector<TokenWindow> windows;  ///< of the greatest length
  std::size_t available = 0;         ///< full windows in the text
  std::size_t too_short = 0;         ///< documents without a full window
  std::vector<std::string> labels;
  std::string tokens_sha256;
};

/// What decides the numbers of a measurement: digests of model and text, protocol, seed,
/// arithmetic.
nlohmann::ordered_json loss_settings(const ModelSession& session, const LossText& text,
                                     std::uint64_t seed);

/// Reads the text and chooses the windows. Throws UsageError for options that do not fit each
/// other, Error where no document is as long as the longest context. `note` gets what else there is
/// to say.
LossText load_loss_text(const LossTextArguments& arguments, const CheckpointModel& model,
                        const std::function<void(const std::string&)>& note);

}  // namespace toplens
