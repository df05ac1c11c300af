#include "report/page_json.h"

#include <openssl/evp.h>

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>
#include <cstddef>
#include <string_view>

#include <fmt/format.h>

namespace toplens {
namespace {

constexpr double kLevelsPerOctave = 16.0;

std::string_view name_of(PageKey key) {
  switch (key) {
    case PageKey::set_size:
      return "set_size";
    case PageKey::head:
      return "head";
    case PageKey::entry:
      return "entry";
    case PageKey::none:
      break;
  }
  return "none";
}

std::string base64(std::span<const std::uint8_t> bytes) {
  std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');  // EVP adds a zero byte
  const int length = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), bytes.data(),
                                     static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(length));
  return text;
}

/// Base64 of the numbers as they lie in memory (all platforms of toplens are little-endian).
template <typename T>
std::string packed(std::span<const T> values) {
  static_assert(std::endian::native == std::endian::little);
  const auto bytes = std::as_bytes(values);
  return base64({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
}

template <typename T>
PageJson plain(std::span<const T> values) {
  PageJson array = PageJson::array();
  for (const T value : values) {
    // A whole number without a point: as short as it can be, and the same to a reader.
    if (std::isfinite(value) && value == std::floor(value) && std::abs(value) < T{1e15f}) {
      array.push_back(static_cast<std::int64_t>(value));
    } else {
      array.push_back(std::isfinite(value) ? PageJson(value) : PageJson(nullptr));
    }
  }
  return array;
}

std::uint8_t level(double value, double peak) {
  if (!(value > 0.0) || !(peak > 0.0)) return 0;
  const double steps = 255.0 + kLevelsPerOctave * std::log2(value / peak);
  return static_cast<std::uint8_t>(std::clamp(std::lround(steps), 0L, 255L));
}

}  // namespace

PageJson keyed_texts(PageKey key, const std::vector<std::string>& texts) {
  return {{"by", name_of(key)}, {"texts", texts}};
}

PageTable::PageTable(PageKey key, std::size_t rows, std::size_t share)
    : json_({{"by", name_of(key)},
             {"rows", rows},
             {"share", share},
             {"fixed", PageJson::object()},
             {"columns", PageJson::object()}}),
      rows_(rows) {}

PageTable& PageTable::fixed(const std::string& name, PageJson values) {
  assert(values.size() == rows_);
  json_["fixed"][name] = std::move(values);
  return *this;
}

PageTable& PageTable::column(const std::string& name, std::span<const double> values) {
  json_["columns"][name] =
      values.size() > kMostPlain ? PageJson{{"doubles", packed(values)}} : plain(values);
  return *this;
}

PageTable& PageTable::column(const std::string& name, std::span<const float> values) {
  json_["columns"][name] =
      values.size() > kMostPlain ? PageJson{{"floats", packed(values)}} : plain(values);
  return *this;
}

PageTable& PageTable::values(const std::string& name, PageJson values) {
  json_["columns"][name] = std::move(values);
  return *this;
}

PageTable& PageTable::levels(const std::string& name, std::span<const float> values) {
  assert(rows_ > 0 && values.size() % rows_ == 0);
  std::vector<std::uint8_t> bytes;
  bytes.reserve(values.size());
  PageJson peaks = PageJson::array();
  for (std::size_t begin = 0; begin < values.size(); begin += rows_) {
    const std::span<const float> part = values.subspan(begin, rows_);
    const double peak = *std::max_element(part.begin(), part.end());
    peaks.push_back(static_cast<float>(peak));
    for (const float value : part) bytes.push_back(level(value, peak));
  }
  json_["columns"][name] = {
      {"levels", base64(bytes)}, {"per_octave", kLevelsPerOctave}, {"peaks", std::move(peaks)}};
  return *this;
}

PageTable& PageTable::words(const std::string& name, std::span<const std::uint16_t> values) {
  json_["columns"][name] = {{"words", packed(values)}};
  return *this;
}

std::string to_script_json(const PageJson& json) {
  const std::string plain = json.dump(-1, ' ', false, PageJson::error_handler_t::replace);
  std::string text;
  text.reserve(plain.size() + plain.size() / 64);
  for (std::size_t i = 0; i < plain.size(); ++i) {
    const std::string_view rest = std::string_view(plain).substr(i);
    if (plain[i] == '<' || plain[i] == '>' || plain[i] == '&') {
      text += fmt::format("\\u{:04x}", static_cast<int>(plain[i]));
    } else if (rest.starts_with("\xe2\x80\xa8") || rest.starts_with("\xe2\x80\xa9")) {
      text += rest[2] == '\xa8' ? "\\u2028" : "\\u2029";
      i += 2;
    } else {
      text += plain[i];
    }
  }
  return text;
}

std::string to_html(const std::string& text) {
  std::string html;
  for (const char c : text) {
    switch (c) {
      case '<':
        html += "&lt;";
        break;
      case '>':
        html += "&gt;";
        break;
      case '&':
        html += "&amp;";
        break;
      default:
        html += c;
    }
  }
  return html;
}

}  // namespace toplens
