"""Makes traffic happen: plans, back ends, activities, captures, journal and evidence."""
