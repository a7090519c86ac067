"""The control plane: REST over PostgreSQL. Its door is `fillip.manage.app.build_app`."""
