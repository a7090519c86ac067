SELECT set_config('app.tenants', $1, true)
