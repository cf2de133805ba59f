// SPDX-License-Identifier: Apache-2.0
// What parsing a head and writing a response cost, for heads as wrk, curl and a browser send them.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "workerd/http/date.h"
#include "workerd/http/head_scanner.h"
#include "workerd/http/request_head.h"
#include "workerd/http/response_encoder.h"

namespace corn::http {
namespace {

const std::string kWrkHead = "GET / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n";
const std::string kCurlHead =
    "GET /hello?name=world HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nUser-Agent: curl/7.88.1\r\n"
    "Accept: */*\r\n\r\n";
const std::string kBrowserHead =
    "GET /articles/2026/01/31?page=2 HTTP/1.1\r\nHost: www.example.com\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
    "Accept-Language: en-us,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\nDNT: 1\r\n"
    "Connection: keep-alive\r\nUpgrade-Insecure-Requests: 1\r\n"
    "Cookie: sid=31d4d96e407aad42; csrf=u32t4o3tb3gg43\r\n\r\n";

void parse_request(benchmark::State& state, const std::string& bytes) {
  const ParserOptions options = ParserOptions::from(base::WorkerConfig{});
  HeadScanner scanner(options);
  RequestHead request;
  for ([[maybe_unused]] auto _ : state) {
    const ScanResult scan = scanner.feed(bytes);
    const auto error = parse_head(std::string_view(bytes).substr(scan.skip_bytes, scan.head_bytes),
                                  options, request);
    if (error) std::abort();
    benchmark::DoNotOptimize(request.fields.data());
    scanner.reset();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(bytes.size()));
}

void encode_response(benchmark::State& state) {
  const std::vector<Field> fields = {{"Content-Type", "text/plain"}, {"Content-Length", "13"}};
  DateCache date;
  std::string out;
  for ([[maybe_unused]] auto _ : state) {
    out.clear();
    ResponseEncoder encoder({.http_1_1 = true, .keep_alive = true});
    if (!encoder.start({"200 OK", fields}, std::nullopt, date.at(1), out)) std::abort();
    encoder.append("Hello, World!", out);
    if (!encoder.finish(out)) std::abort();
    benchmark::DoNotOptimize(out.data());
  }
}

BENCHMARK_CAPTURE(parse_request, wrk, kWrkHead);
BENCHMARK_CAPTURE(parse_request, curl, kCurlHead);
BENCHMARK_CAPTURE(parse_request, browser, kBrowserHead);
BENCHMARK(encode_response);

}  // namespace
}  // namespace corn::http

BENCHMARK_MAIN();
