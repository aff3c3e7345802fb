std = "luajit"
max_line_length = 120
unused_args = false
files["spec/**/*_spec.lua"].std = "luajit+busted"
