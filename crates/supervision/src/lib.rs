//! OTP supervision semantics over kameo actors.
