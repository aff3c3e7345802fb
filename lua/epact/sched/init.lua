--- Orders: which variables a worker updates next.
-- @module epact.sched
return { rotation = require "epact.sched.rotation" }
