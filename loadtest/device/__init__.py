"""The steps of `loadtest.on_device`, and what runs them."""
