#include "intervention/loss_task.h"

#include <fmt/format.h>
#include <toplens/error.h>
#include <nlohmann/json.hpp>

#include "intervention/scope.h"

namespace toplens {
namespace {

using Json = nlohmann::json;

// CBOR holds doubles as they are, and a message is read with one check.
std::string to_bytes(const Json& json) {
  std::string bytes;
  Json::to_cbor(json, bytes);
  return bytes;
}

template <typename Read>
auto from_bytes(std::string_view bytes, const char* what, const Read& read) {
  try {
    return read(Json::from_cbor(bytes.begin(), bytes.end()));
  } catch (const Json::exception& error) {
    throw Error(fmt::format("a message between ranks is no {}: {}", what, error.what()));
  }
}

Json to_json(const Treatment& treatment) {
  Json treated = Json::array();  // a scan treats one head of a thousand
  for (int layer = 0; layer < treatment.num_layers(); ++layer) {
    for (int head = 0; head < treatment.num_query_heads(); ++head) {
      const int size = treatment.set_size({layer, head});
      if (size > 0) treated.push_back({layer, head, size});
    }
  }
  return {{"ranking", name(treatment.ranking())},
          {"rule", name(treatment.rule())},
          {"seed", treatment.seed()},
          {"treated", std::move(treated)}};
}

Treatment treatment_from(const Json& json, const ModelConfig& config) {
  Treatment treatment(parse_ranking(json.at("ranking").get<std::string>()),
                      parse_removal_rule(json.at("rule").get<std::string>()), config.num_layers,
                      config.num_query_heads, json.at("seed").get<std::uint64_t>());
  for (const Json& one : json.at("treated")) {
    const HeadId head{one.at(0).get<int>(), one.at(1).get<int>()};
    check(Scope::one_head(head), config);
    treatment.set(head, one.at(2).get<int>());
  }
  return treatment;
}

}  // namespace

std::string encode_loss_task(std::uint64_t total_tokens, std::span<const ScoredWindow> windows,
                             std::span<const Treatment* const> treatments) {
  Json json = {
      {"total_tokens", total_tokens}, {"windows", Json::array()}, {"treatments", Json::array()}};
  for (const ScoredWindow& window : windows) {
    json["windows"].push_back({{"token_ids", window.token_ids},
                               {"first_target", window.first_target},
                               {"document", window.document}});
  }
  for (const Treatment* treatment : treatments) {
    json["treatments"].push_back(treatment == nullptr ? Json(nullptr) : to_json(*treatment));
  }
  return to_bytes(json);
}

LossTask decode_loss_task(std::string_view bytes, const ModelConfig& config) {
  return from_bytes(bytes, "task", [&](const Json& json) {
    LossTask task;
    task.total_tokens = json.at("total_tokens").get<std::uint64_t>();
    for (const Json& window : json.at("windows")) {
      task.windows.push_back({window.at("token_ids").get<std::vector<std::int32_t>>(),
                              window.at("first_target").get<std::size_t>(),
                              window.at("document").get<std::uint64_t>()});
    }
    for (const Json& treatment : json.at("treatments")) {
      task.treatments.push_back(
          treatment.is_null() ? std::nullopt : std::optional(treatment_from(treatment, config)));
    }
    return task;
  });
}

std::string encode_losses(const std::vector<std::vector<WindowLoss>>& losses) {
  Json json = Json::array();
  for (const std::vector<WindowLoss>& of_treatment : losses) {
    for (const WindowLoss& loss : of_treatment) {
      json.push_back(loss.nll_nats_per_token);
      json.push_back(loss.rows_without_mass);
    }
  }
  return to_bytes(json);
}

std::vector<std::vector<WindowLoss>> decode_losses(std::string_view bytes, std::size_t treatments,
                                                   std::size_t windows) {
  return from_bytes(bytes, "result", [&](const Json& json) {
    if (json.size() != 2 * treatments * windows) {
      throw Error(fmt::format("a message between ranks has {} numbers of {} losses", json.size(),
                              treatments * windows));
    }
    std::vector<std::vector<WindowLoss>> losses(treatments, std::vector<WindowLoss>(windows));
    std::size_t next = 0;
    for (std::vector<WindowLoss>& of_treatment : losses) {
      for (WindowLoss& loss : of_treatment) {
        loss.nll_nats_per_token = json.at(next++).get<double>();
        loss.rows_without_mass = json.at(next++).get<std::uint64_t>();
      }
    }
    return losses;
  });
}

}  // namespace toplens
