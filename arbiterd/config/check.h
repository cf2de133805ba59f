// SPDX-License-Identifier: Apache-2.0
// Whether a raw value fits a setting.
#pragma once

#include "arbiterd/config/raw_value.h"
#include "arbiterd/config/schema.h"
#include "arbiterd/config/value.h"
#include "base/result.h"

namespace corn::config {

// `raw` in the form of the setting's kind. An empty text is the unset value. The error is what is
// to be told about the value, without naming it: "a whole number from 1 to 1000 is wanted". A
// refused setting's value is judged like any other; whether it asks for too much is not this
// function's question.
base::Result<Value> check(const Setting& setting, const RawValue& raw);

}  // namespace corn::config
