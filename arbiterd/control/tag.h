// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <utility>

namespace corn::control {

// What the completion queue hands back when one operation has completed. Queue thread only, but for
// the creation. One operation at a time per tag.
class Tag {
 public:
  // `completed` gets what Next() reports: whether the operation did what it was for.
  explicit Tag(std::function<void(bool ok)> completed) : completed_(std::move(completed)) {}
  Tag(const Tag&) = delete;
  Tag& operator=(const Tag&) = delete;

  // To be given to gRPC. `owner`, which holds the tag, lives at least until the operation has
  // completed.
  void* arm(std::shared_ptr<void> owner) {
    owner_ = std::move(owner);
    return this;
  }

  void complete(bool ok) {
    const std::shared_ptr<void> owner =
        std::move(owner_);  // the end of this call may be its owner's
    completed_(ok);
  }

 private:
  std::function<void(bool ok)> completed_;
  std::shared_ptr<void> owner_;
};

}  // namespace corn::control
