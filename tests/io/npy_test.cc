#include "io/npy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <sys/resource.h>

#include <csignal>
#include <cstring>
#include <limits>
#include <thread>

#include "support/error_message.h"
#include "support/safetensors_file.h"
#include "support/scratch_directory.h"
#include "support/shared_data.h"

namespace toplens {
namespace {

using ::testing::ElementsAre;
using testing::error_message;
using ::testing::HasSubstr;
using testing::ScratchDirectory;
using testing::write_bytes;

/// A .npy file of any version from a header text (unpadded) and the bytes of its data.
std::string npy_bytes(const std::string& header, const std::string& data, int version = 1) {
  std::string file = std::string("\x93NUMPY") + static_cast<char>(version) + '\0';
  const int length_bytes = version == 1 ? 2 : 4;
  for (int i = 0; i < length_bytes; ++i) {
    file += static_cast<char>((header.size() >> (8 * i)) & 0xff);
  }
  return file + header + data;
}

template <typename T>
std::string bytes_of(const std::vector<T>& values) {
  std::string bytes(values.size() * sizeof(T), '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

std::string header_of(const std::string& dtype, const std::string& shape) {
  return "{'descr': '" + dtype + "', 'fortran_order': False, 'shape': " + shape + ", }\n";
}

NpyHeader parse(const std::string& file) {
  return parse_npy_header(std::as_bytes(std::span(file.data(), file.size())), "x.npy");
}

TEST(Npy, WriterAndReaderRoundTripAnyShape) {
  const ScratchDirectory directory;
  EXPECT_TRUE(rc::check([&] {
    const auto shape =
        *rc::gen::container<std::vector<std::uint64_t>>(rc::gen::inRange<std::uint64_t>(0, 7));
    RC_PRE(shape.size() <= 5);
    std::uint64_t count = 1;
    for (const std::uint64_t dimension : shape) count *= dimension;
    const auto values = *rc::gen::container<std::vector<float>>(count, rc::gen::arbitrary<float>());
    const auto cut = *rc::gen::inRange<std::uint64_t>(0, count + 1);

    const auto path = directory / "array.npy";
    NpyFloatWriter writer(path, shape);
    writer.write(cut, std::span(values).subspan(cut));
    writer.write(0, std::span(values).first(cut));
    writer.finish();

    const NpyFloatArray array(path);
    RC_ASSERT(array.shape() == shape);
    // Bits, for NaN. Outside the macro, whose || does not short-circuit.
    const bool same_bits =
        count == 0 || std::memcmp(array.values().data(), values.data(), count * sizeof(float)) == 0;
    RC_ASSERT(same_bits);
  }));
}

TEST(Npy, ReadsEveryVersionAndDtype) {
  const ScratchDirectory directory;
  const auto path = directory / "a.npy";
  for (int version = 1; version <= 3; ++version) {
    write_bytes(path, npy_bytes(header_of("<f8", "(2, 1)"), bytes_of<double>({0.1, -3}), version));
    const NpyFloatArray array(path);
    EXPECT_THAT(array.shape(), ElementsAre(2, 1));
    EXPECT_THAT(array.values(), ElementsAre(0.1f, -3.0f));
  }
  write_bytes(path, npy_bytes(header_of("<f2", "(5,)"),
                              bytes_of<std::uint16_t>({0x3c00, 0xc500, 0x0001, 0x7bff, 0xfc00})));
  EXPECT_THAT(NpyFloatArray(path).values(), ElementsAre(1.0f, -5.0f, 0x1p-24f, 65504.0f,
                                                        -std::numeric_limits<float>::infinity()));
  // The header's length decides whether float32 data is aligned.
  for (std::size_t padding = 0; padding < 4; ++padding) {
    write_bytes(path, npy_bytes(header_of("<f4", "(1,)") + std::string(padding, ' '),
                                bytes_of<float>({2.5f})));
    EXPECT_THAT(NpyFloatArray(path).values(), ElementsAre(2.5f));
  }
  write_bytes(path, npy_bytes(header_of("<i4", "()"), bytes_of<std::int32_t>({-7})));
  EXPECT_THAT(read_npy_integers(path).values, ElementsAre(-7));
  // As Python 2 wrote it.
  write_bytes(path, npy_bytes("{\"shape\": (2L,), 'fortran_order': False, 'descr': '<i8'}",
                              bytes_of<std::int64_t>({1, std::int64_t{1} << 40})));
  EXPECT_THAT(read_npy_integers(path).values, ElementsAre(1, std::int64_t{1} << 40));
}

TEST(Npy, ReadsWhatNumPyWrote) {
  const auto expected = testing::golden_directory() / "tiny-llama" / "expected";
  EXPECT_THAT(NpyFloatArray(expected / "values.npy").shape(),
              ::testing::SizeIs(4));  // [layer, kv_head, key, head_dim]
  EXPECT_EQ(read_npy_integers(expected / "token_ids.npy").shape.size(), 1u);
}

TEST(Npy, RejectsMalformedHeaders) {
  const std::string data = bytes_of<float>({1, 2});
  const auto message = [&](const std::string& file) {
    const std::string text = error_message([&] { parse(file); });
    EXPECT_THAT(text, HasSubstr("x.npy: "));
    return text;
  };
  EXPECT_THAT(message(""), HasSubstr("not a .npy file"));
  EXPECT_THAT(message("\x93NUMPY"), HasSubstr("not a .npy file"));
  EXPECT_THAT(message(npy_bytes("{}", "", 4)), HasSubstr("version 4"));
  EXPECT_THAT(message(npy_bytes(header_of("<f4", "(2,)"), data).substr(0, 40)),
              HasSubstr("truncated"));
  EXPECT_THAT(message(npy_bytes(header_of(">f4", "(2,)"), data)), HasSubstr("'>f4'"));
  EXPECT_THAT(message(npy_bytes(header_of("|b1", "(8,)"), data)), HasSubstr("'|b1'"));
  EXPECT_THAT(message(npy_bytes(header_of("<f4", "(3,)"), data)), HasSubstr("need 12"));
  EXPECT_THAT(message(npy_bytes(header_of("<f4", "(1,)"), data)), HasSubstr("need 4"));
  EXPECT_THAT(message(npy_bytes(header_of("<f4", "(2)"), data)), HasSubstr("no tuple"));
  EXPECT_THAT(message(npy_bytes(header_of("<f4", "(2,-1)"), data)), HasSubstr("'-1)"));
  EXPECT_THAT(message(npy_bytes(header_of("<f4", "(4294967296, 4294967296)"), data)),
              HasSubstr("overflows"));
  EXPECT_THAT(message(npy_bytes(header_of("<f4", "(99999999999999999999,)"), data)),
              HasSubstr("too large"));
  EXPECT_THAT(message(npy_bytes("{'descr': '<f4', 'fortran_order': True, 'shape': (2,)}", data)),
              HasSubstr("Fortran order"));
  EXPECT_THAT(message(npy_bytes("{'descr': [('a', '<f4')], 'fortran_order': False}", data)),
              HasSubstr("structured"));
  EXPECT_THAT(message(npy_bytes("{'descr': '<f4', 'shape': (2,)}", data)),
              HasSubstr("'fortran_order' is missing"));
  EXPECT_THAT(message(npy_bytes("{'descr': '<f4', 'descr': '<f4'}", data)), HasSubstr("'descr'"));
  EXPECT_THAT(message(npy_bytes(header_of("<f4", "(2,)") + "x", data)), HasSubstr("follows"));
}

TEST(Npy, AnyTruncationOfAFileIsAnError) {
  const std::string file = npy_bytes(header_of("<f4", "(2, 3)"), std::string(24, 'x'));
  EXPECT_NO_THROW(parse(file));
  for (std::size_t size = 0; size < file.size(); ++size) {
    EXPECT_THROW(parse(file.substr(0, size)), Error) << size;
  }
}

TEST(Npy, WrongKindOfNumbersIsNamed) {
  const ScratchDirectory directory;
  const auto path = directory / "ids.npy";
  write_bytes(path, npy_bytes(header_of("<f4", "(1,)"), bytes_of<float>({1})));
  EXPECT_THAT(error_message([&] { read_npy_integers(path); }),
              ::testing::AllOf(HasSubstr("ids.npy"), HasSubstr("<f4")));
  write_bytes(path, npy_bytes(header_of("<i4", "(1,)"), bytes_of<std::int32_t>({1})));
  EXPECT_THAT(error_message([&] { NpyFloatArray array(path); }), HasSubstr("<i4"));
  write_bytes(path, npy_bytes(header_of("<f8", "(2,)"), bytes_of<double>({0, 1e300})));
  EXPECT_THAT(error_message([&] { NpyFloatArray array(path); }), HasSubstr("element 1"));
}

TEST(NpyWriter, LeavesNothingWithoutFinish) {
  const ScratchDirectory directory;
  {
    NpyFloatWriter writer(directory / "a.npy", {4});
    NpyFloatWriter moved = std::move(writer);
    moved.write(0, std::vector<float>{1, 2});
    EXPECT_FALSE(std::filesystem::exists(directory / "a.npy"));
  }
  EXPECT_TRUE(directory.empty());
}

TEST(NpyWriter, TakesDisjointRangesFromSeveralThreads) {
  const ScratchDirectory directory;
  constexpr std::uint64_t kRows = 64;
  NpyFloatWriter writer(directory / "a.npy", {kRows, 8});
  std::vector<std::thread> threads;
  for (std::uint64_t first = 0; first < 4; ++first) {
    threads.emplace_back([&writer, first] {
      for (std::uint64_t row = first; row < kRows; row += 4) {
        writer.write(row * 8, std::vector<float>(8, static_cast<float>(row)));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  writer.finish();
  const NpyFloatArray array(directory / "a.npy");
  for (std::size_t i = 0; i < array.values().size(); ++i) {
    ASSERT_EQ(array.values()[i], static_cast<float>(i / 8));
  }
}

TEST(NpyWriter, RefusesElementsOutsideTheArray) {
  const ScratchDirectory directory;
  NpyFloatWriter writer(directory / "a.npy", {4});
  EXPECT_THROW(writer.write(3, std::vector<float>{1, 2}), Error);
  EXPECT_THROW(writer.write(5, {}), Error);
}

TEST(NpyWriter, AnArrayLargerThanTheDiskFailsAtOnce) {
  const ScratchDirectory directory;
  // A full disk, as far as this process can have one.
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small{1 << 16, before.rlim_max};
  const auto previous = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string message =
      error_message([&] { NpyFloatWriter writer(directory / "big.npy", {1 << 16}); });
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, previous);
  EXPECT_THAT(message, ::testing::AllOf(HasSubstr("big.npy"), HasSubstr("262272 bytes"),
                                        HasSubstr("File too large")));
  EXPECT_THAT(error_message([&] {
                NpyFloatWriter writer(directory / "huge.npy", {std::uint64_t{1} << 63, 2});
              }),
              HasSubstr("larger than any file"));
  EXPECT_TRUE(directory.empty());
}

}  // namespace
}  // namespace toplens
