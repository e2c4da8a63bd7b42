package daemon

// Events are what entries of the log are about, as far as somebody may want to search for
// it: the field "event" of an entry, in the journal ZKD_EVENT. The packages below name
// them as texts.
const (
	eventReady         = "ready"          // the server serves, or takes part in an election
	eventStopping      = "stopping"       // it was told to stop
	eventFailed        = "failed"         // the process ends because of an error
	eventReloaded      = "reloaded"       // the configuration was read again
	eventReloadFailed  = "reload-failed"  // the configuration on disk is wrong, the old one stays
	eventRestartNeeded = "restart-needed" // a setting has changed that a reload does not apply
	eventStandstill    = "standstill"     // no step is done, or a write to the log does not end
	eventBackup        = "backup"         // somebody was given all data, or was to be
	eventRestore       = "restore"        // all data were replaced by a snapshot, or were to be
)

// messages are the journal's MESSAGE_ID of events, under which packaging/zkd.catalog
// explains them. An id never changes its meaning.
var messages = map[string]string{
	eventReady:         "247815e2deaf4b2fa8fb9d71af9a1e29",
	eventStopping:      "d16f9df13e68489e972ca3328d33c294",
	eventFailed:        "a71a9afe120644b1b654909567f3a333",
	eventReloaded:      "acccbe542a73497f92e56a48c5ee44ac",
	eventReloadFailed:  "b1c1ae545ba74f6880e616fe9fd664db",
	eventRestartNeeded: "f91af5020e38401ea03258ca37e5914e",
	eventStandstill:    "ca42bacee78845219adc8be144e37259",
	eventBackup:        "cb359b0cd7a040af82d1be3203ce9d2f",
	eventRestore:       "368137d8aa014f6ca860977b6f5ec825",
	"election":         "c54b117a0502469184e8ee574e45f982", // the role in the ensemble changes
	"learner":          "c97d3610e6404a8186b47c4912b23a01", // a leader's learner is in step, or gone
	"truncated":        "54b68095f6934a219b95d064ceb91034", // the end of the log was never committed and is cut off
	"disk-full":        "d1572626c33728773b00702c627b2a11", // a start waits for space
	"log-full":         "4346d609f1004078bb5d97913d1b15fb", // writes wait for space on the log's disk
	"log-writable":     "8625dfebc55841a59e933efcca82827a", // they wait no longer
	"image-full":       "ae832cf0cd3141bbbafd72645b020255", // the image cannot be written for want of space
	"slow-log":         "3895000e4e474cba8ae5fa5fcf4e6f15", // a write to the log took long
	"healing":          "bbe5cd958e264705b874ae1f39078ea7", // what was damaged is there again, or cannot be got
	"damage":           "ab1e312cdd6f42ce90d94957c2a92bf0", // a part of the log is damaged and was moved aside
}
