// SPDX-License-Identifier: Apache-2.0
// Stands for a source of a room where only the room's include path matters.
