// LibTorch's switch that turns a wait for the GPU into an error or a warning.
#pragma once

namespace thalweg {

/// While it lives, what makes the host wait for the GPU throws c10::Error.
class NoWaiting {
 public:
  NoWaiting();
  ~NoWaiting();
  NoWaiting(const NoWaiting&) = delete;
  NoWaiting& operator=(const NoWaiting&) = delete;
};

/// While it lives, each wait writes a line with kWaitMark to standard error.
class ToldWaiting {
 public:
  ToldWaiting();
  ~ToldWaiting();
  ToldWaiting(const ToldWaiting&) = delete;
  ToldWaiting& operator=(const ToldWaiting&) = delete;
};
inline constexpr const char* kWaitMark = "called a synchronizing CUDA operation";

}  // namespace thalweg
