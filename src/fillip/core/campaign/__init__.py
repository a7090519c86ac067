"""What a marketer writes down: campaigns, quests, rewards and their formulas."""
