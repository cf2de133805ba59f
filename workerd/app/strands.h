// SPDX-License-Identifier: Apache-2.0
// How an application that is called (Application::handle()) has many requests inside at once on one
// thread: each call is on a strand of its own, gevent's greenlets being what these are. A strand
// that waits leaves the thread to the others. What other strands run, its stack may lie elsewhere
// meanwhile: whoever is not on a strand must not touch what lies there.
//
// Everything belongs to the loop's thread.
#pragma once

#include "workerd/app/loop.h"

namespace corn::app {

// What runs on a strand.
class StrandTask {
 public:
  virtual ~StrandTask() = default;
  virtual void run() = 0;
};

class Strands : public HostLoop {
 public:
  // Has `task` run on a strand of its own, soon but not before the engine's turn ends, from within
  // which this is called. HostLoop::run() does not return before all tasks have.
  virtual void start(StrandTask& task) = 0;

  // On the task's strand: lets others run until wake() is called. May return for no reason. False:
  // the application has broken the wait off, and its runtime knows why; so does every wait that
  // can't be had.
  virtual bool pause(StrandTask& task) = 0;

  // The task, if it is paused, goes on soon; not from within this. From within a turn.
  virtual void wake(StrandTask& task) = 0;
};

}  // namespace corn::app
