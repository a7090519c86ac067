"""`fillip demo`: a year of real grocery shopping through the whole system, watched, measured and checked."""

from fillip.app.demo.run import run_demo

__all__ = ["run_demo"]
