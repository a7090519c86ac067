"""Lists of coupon codes."""
