#include "results/run_record.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <toplens/error.h>

#include "results/run_directory.h"

namespace toplens {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::int64_t kMostDocuments = 1 << 30;

/// The values of one run.json, by their place in it.
class Fields {
 public:
  Fields(const Json& run, std::string where) : run_(run), where_(std::move(where)) {}

  /// Null where it is absent.
  const Json& at(std::string_view path) const {
    const Json* value = &run_;
    while (!path.empty()) {
      const std::string key(path.substr(0, path.find('.')));
      path.remove_prefix(std::min(key.size() + 1, path.size()));
      if (!value->is_object()) return absent_;
      const auto found = value->find(key);
      if (found == value->end()) return absent_;
      value = &*found;
    }
    return *value;
  }
  std::string text(std::string_view path) const {
    const Json& value = at(path);
    if (!value.is_string()) fail(path, "text");
    return value.get<std::string>();
  }
  std::string text_or_empty(std::string_view path) const {
    return at(path).is_null() ? std::string() : text(path);
  }
  int count(std::string_view path) const {
    const Json& value = at(path);
    if (!value.is_number_integer() || value.get<std::int64_t>() < 1 ||
        value.get<std::int64_t>() > kMostDocuments) {
      fail(path, "positive number");
    }
    return value.get<int>();
  }
  std::vector<std::string> texts(std::string_view path) const {
    const Json& value = at(path);
    std::vector<std::string> found;
    if (!value.is_array()) fail(path, "list of texts");
    for (const Json& element : value) {
      if (!element.is_string()) fail(path, "list of texts");
      found.push_back(element.get<std::string>());
    }
    return found;
  }
  std::map<std::string, std::string> texts_by_name(std::string_view path) const {
    const Json& value = at(path);
    std::map<std::string, std::string> found;
    if (value.is_null()) return found;
    if (!value.is_object()) fail(path, "object of texts");
    for (const auto& [name, element] : value.items()) {
      if (!element.is_string()) fail(path, "object of texts");
      found[name] = element.get<std::string>();
    }
    return found;
  }

 private:
  [[noreturn]] void fail(std::string_view path, std::string_view expected) const {
    throw Error(fmt::format("{}: is no run.json of toplens: no {} at {}", where_, expected, path));
  }

  const Json& run_;
  std::string where_;
  Json absent_;
};

}  // namespace

RunRecord read_run_record(const std::filesystem::path& run_directory) {
  const Json run = read_run_json(run_directory);
  const std::string where = (run_directory / "run.json").string();
  const Fields fields(run, where);
  RunRecord record;
  record.complete = run["status"] == "complete";
  record.command_line = fields.texts("command_line");
  record.working_directory = fields.text_or_empty("working_directory");
  record.started = fields.text_or_empty("started");
  record.settings = run["settings"];
  record.environment = fields.at("toplens");
  record.documents = fields.count("settings.documents");
  record.documents_per_part = fields.count("documents_per_part");
  record.compute = fields.text("settings.protocol.compute");
  record.model_path = fields.text("model.path");
  record.text_path = fields.text("text.path");
  record.weight_files = fields.texts_by_name("model.weights_sha256");
  record.files = files_of(run, where);
  return record;
}

}  // namespace toplens
