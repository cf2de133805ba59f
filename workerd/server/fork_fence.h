// SPDX-License-Identifier: Apache-2.0
// A child that the application makes by fork(2) without exec (multiprocessing, a background
// process) inherits every descriptor. Held there, a client's connection would outlive its end here,
// and the client wait for that end for ever; a listening socket would keep its port. So the child
// closes the engine's descriptors before fork() returns in it. exec(2) closes them anyway.
#pragma once

namespace corn::server {

// Descriptors up to this number are looked after; a worker's are far below.
inline constexpr int kForkFenceDescriptors = 65536;

// `fd` is closed in every child forked from here on, until open_across_forks(fd), which has to come
// before it is closed here. Any thread.
void close_in_forks(int fd);
void open_across_forks(int fd);

}  // namespace corn::server
