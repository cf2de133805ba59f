// SPDX-License-Identifier: Apache-2.0
// Flat encoding of small structs for the channel between arbiterd and workerd: little-endian
// integers, strings and lists with a 32-bit length. A struct names its fields once, in a function
//   template <class Archive> void fields(Archive& a, MyStruct& s) { a(s.first); a(s.second); }
// which serves both directions. Both peers are on one machine; the encoding is versioned by the
// message that carries it.
#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace corn::base {

class ByteWriter {
 public:
  template <typename T>
  requires std::is_arithmetic_v<T> || std::is_enum_v<T>
  void operator()(const T& value) {
    char raw[sizeof(T)];
    std::memcpy(raw, &value, sizeof(T));
    bytes_.append(raw, sizeof(T));
  }
  void operator()(const std::string& value) {
    (*this)(static_cast<std::uint32_t>(value.size()));
    bytes_ += value;
  }
  template <typename Rep, typename Period>
  void operator()(const std::chrono::duration<Rep, Period>& value) {
    (*this)(value.count());
  }
  template <typename T>
  void operator()(const std::vector<T>& values) {
    (*this)(static_cast<std::uint32_t>(values.size()));
    for (const T& value : values) (*this)(value);
  }
  template <typename T>
  requires std::is_class_v<T>
  void operator()(const T& value) {
    fields(*this, const_cast<T&>(value));  // fields() serves both directions; a writer only reads
  }
  [[nodiscard]] std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

// Reads what ByteWriter wrote. Input is not trusted: any length beyond the rest of the bytes makes
// the reader fail, and from then on every value is left as it was.
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : rest_(bytes) {}

  template <typename T>
  requires std::is_arithmetic_v<T> || std::is_enum_v<T>
  void operator()(T& value) {
    if (!take(sizeof(T))) return;
    std::memcpy(&value, taken_.data(), sizeof(T));
  }
  void operator()(std::string& value) {
    std::uint32_t size = 0;
    (*this)(size);
    if (take(size)) value.assign(taken_);
  }
  template <typename Rep, typename Period>
  void operator()(std::chrono::duration<Rep, Period>& value) {
    Rep count{};
    (*this)(count);
    value = std::chrono::duration<Rep, Period>(count);
  }
  template <typename T>
  void operator()(std::vector<T>& values) {
    std::uint32_t size = 0;
    (*this)(size);
    if (size > rest_.size()) ok_ = false;  // every element takes at least one byte
    values.clear();
    for (std::uint32_t i = 0; ok_ && i < size; ++i) (*this)(values.emplace_back());
  }
  template <typename T>
  requires std::is_class_v<T>
  void operator()(T& value) { fields(*this, value); }

  // True when nothing failed and nothing is left over.
  [[nodiscard]] bool complete() const { return ok_ && rest_.empty(); }
  [[nodiscard]] bool ok() const { return ok_; }

 private:
  bool take(std::size_t size) {
    if (!ok_ || size > rest_.size()) {
      ok_ = false;
      return false;
    }
    taken_ = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return true;
  }

  std::string_view rest_;
  std::string_view taken_;
  bool ok_ = true;
};

}  // namespace corn::base
