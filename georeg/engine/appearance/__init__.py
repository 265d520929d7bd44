"""The appearance bank: what one sensor's picture might look like to another, batched on the device."""
