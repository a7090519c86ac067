"""Coupon codes made in the background, portion by portion, by the sweep."""
