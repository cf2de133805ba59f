// SPDX-License-Identifier: Apache-2.0
#include "workerd/runtimes/wsgi/texts.h"

namespace corn::wsgi {

using python::Ref;

namespace {

// FNV-1a.
std::size_t hash(std::string_view bytes) {
  std::uint64_t value = 0xcbf29ce484222325U;
  for (const char c : bytes) {
    value ^= static_cast<unsigned char>(c);
    value *= 0x100000001b3U;
  }
  return static_cast<std::size_t>(value ^ (value >> 32U));
}

char upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }

// RFC 3875 section 4.1.18. Content-Type and Content-Length have variables of their own.
std::string variable_of(std::string_view name) {
  std::string variable;
  variable.reserve(name.size() + 5);
  for (const char c : name) variable += c == '-' ? '_' : upper(c);
  const bool own = variable == "CONTENT_TYPE" || variable == "CONTENT_LENGTH";
  if (!own || name.find('_') != std::string_view::npos) variable.insert(0, "HTTP_");
  return variable;
}

bool describe(std::string_view name, Header& header) {
  const std::string variable = variable_of(name);
  Ref key = to_native(variable);
  if (!key) return false;
  PyObject* interned = key.release();
  PyUnicode_InternInPlace(&interned);
  header.key = Ref::steal(interned);
  header.name = name;
  header.value = CachedText();
  header.secret = variable == "HTTP_COOKIE" || variable == "HTTP_AUTHORIZATION" ||
                  variable == "HTTP_PROXY_AUTHORIZATION";
  header.kind = HeaderKind::kPlain;
  if (variable == "HTTP_COOKIE") header.kind = HeaderKind::kCookie;
  if (variable == "HTTP_HOST") header.kind = HeaderKind::kHost;
  // With an underscore only, as in gunicorn: "Script-Name" is nothing special.
  if (variable == "HTTP_SCRIPT_NAME" && name.find('_') != std::string_view::npos) {
    header.kind = HeaderKind::kScriptName;
  }
  return true;
}

bool same(PyObject* text, std::string_view bytes) {
  return bytes == std::string_view(reinterpret_cast<const char*>(PyUnicode_1BYTE_DATA(text)),
                                   static_cast<std::size_t>(PyUnicode_GET_LENGTH(text)));
}

}  // namespace

Ref to_native(std::string_view bytes) {
  return Ref::steal(
      PyUnicode_DecodeLatin1(bytes.data(), static_cast<Py_ssize_t>(bytes.size()), nullptr));
}

PyObject* CachedText::get(std::string_view bytes) {
  if (!last_ || !same(last_.get(), bytes)) last_ = to_native(bytes);
  return last_.get();
}

Header* HeaderCache::find(std::string_view name) {
  Header& header = entries_[hash(name) % kEntries];
  if (header.key && header.name == name) [[likely]]
    return &header;
  return describe(name, header) ? &header : nullptr;
}

PyObject* PortCache::get(std::uint16_t port) {
  Entry& entry = entries_[port % kEntries];
  if (!entry.text || entry.port != port) {
    entry.text = to_native(std::to_string(port));
    entry.port = port;
  }
  return entry.text.get();
}

}  // namespace corn::wsgi
