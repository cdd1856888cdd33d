SELECT fence FROM {fence_floor} WHERE id = 1
