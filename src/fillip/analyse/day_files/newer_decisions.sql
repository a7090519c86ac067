-- Decisions of `judged` under the id that came after the cut: a new user's.
SELECT decision_id FROM judged CROSS JOIN erasing WHERE user_id = of_user AND NOT mine
