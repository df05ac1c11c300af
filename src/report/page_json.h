#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace toplens {

using PageJson = nlohmann::ordered_json;

/// What the page's controls choose, on which a text or a table's rows may depend.
enum class PageKey {
  none,
  set_size,  ///< index into the run's set sizes
  head,      ///< layer * query heads + head
  entry,     ///< quantity of the map, at a set size where it has one
};

/// One text for each value of the key.
PageJson keyed_texts(PageKey key, const std::vector<std::string>& texts);
inline PageJson text(const std::string& text) { return keyed_texts(PageKey::none, {text}); }

/// A table in columns: `rows` rows for each value of the key. `share` neighbouring values have the
/// same rows (query heads of one kv head).
class PageTable {
 public:
  static constexpr std::size_t kMostPlain = 4096;

  PageTable(PageKey key, std::size_t rows, std::size_t share = 1);

  /// A column that is the same for every value of the key.
  PageTable& fixed(const std::string& name, PageJson values);
  /// [key, row]; NaN becomes null. More than kMostPlain numbers are packed: base64 of little-endian
  /// float64.
  PageTable& column(const std::string& name, std::span<const double> values);
  /// The same in float32.
  PageTable& column(const std::string& name, std::span<const float> values);
  PageTable& values(const std::string& name, PageJson values);
  /// [key, row] in eight bits, base64: level 255 stands for the key's `peaks`, each level less for
  /// a factor of 2^(1/16), 0 for zero or less than a 2^-15.9th of it.
  PageTable& levels(const std::string& name, std::span<const float> values);
  /// [key, row] of numbers below 65536, base64 of little-endian 16-bit words.
  PageTable& words(const std::string& name, std::span<const std::uint16_t> values);

  PageJson json() const { return json_; }

 private:
  PageJson json_;
  std::size_t rows_;
};

/// The JSON text as the content of a <script> element: `<`, `>`, `&` and the line separators that
/// old JavaScript does not take in strings are escaped. Bytes that are no UTF-8 are replaced.
std::string to_script_json(const PageJson& json);

/// `text` for the content of an HTML element.
std::string to_html(const std::string& text);

}  // namespace toplens
