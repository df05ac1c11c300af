#include "cli/theory_options.h"

#include "cli/usage_error.h"

namespace toplens {

namespace {

CLI::Option* in_group(CLI::Option* option) {
  return option->capture_default_str()->group("Predictions");
}

}  // namespace

std::vector<CLI::Option*> TheoryArguments::add_sources_to(CLI::App& command) {
  return {in_group(command.add_option("--weights", weights,
                                      "Attention weights of predictions: measured, or drawn from "
                                      "the fitted profile")),
          in_group(command.add_option("--effective-dimension", dimension,
                                      "d of the formulas: head-dim, or the values' "
                                      "effective-rank")),
          in_group(command.add_option("--residuals", residuals,
                                      "Residual cosines: fitted, or isotropic (sigma = 1, "
                                      "beta = 0), where the dimension alone decides"))};
}

std::vector<CLI::Option*> TheoryArguments::add_to(CLI::App& command) {
  std::vector<CLI::Option*> options = add_sources_to(command);
  options.push_back(
      in_group(command.add_option("--draws", draws,
                                  "Draws of the scalar model for each head and document; 0: 32, "
                                  "for each drawn profile 64"))
          ->check(CLI::Range(0, 100000)));
  options.push_back(
      in_group(command.add_option("--envelope-documents", envelope_documents,
                                  "Documents of each head whose envelopes are drawn; 0: all"))
          ->check(CLI::Range(0, 1 << 30)));
  return options;
}

RunTheoryOptions TheoryArguments::options(std::uint64_t seed) const {
  RunTheoryOptions options;
  from_command_line([&] {
    options.head.weights = parse_name(kWeightSourceNames, "weights", weights);
    options.dimension = parse_name(kEffectiveDimensionNames, "effective dimension", dimension);
    options.residuals = parse_name(kResidualSourceNames, "residuals", residuals);
  });
  if (draws > 0) options.head.envelope.draws = options.head.scalar_draws = draws;
  options.head.envelope.documents = envelope_documents;
  options.head.envelope.seed = seed;
  options.seed = seed;
  return options;
}

}  // namespace toplens
