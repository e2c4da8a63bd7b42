package config

import "math"

const maxInt = math.MaxInt32

// keys are the settings that have an effect.
var keys = []Key{
	{Name: "dataDir", Kind: Text, Class: Effective, Help: "Directory of the tree's image, and of the log unless dataLogDir is set.",
		field: func(c *Config) any { return &c.DataDir }},
	{Name: "dataLogDir", Kind: Text, Class: Effective,
		Help: "Directory of the transaction log, best on a disk of its own; outside the unit's state directory it needs " +
			"ReadWritePaths= in a drop-in of the unit.",
		field: func(c *Config) any { return &c.DataLogDir }},
	{Name: "clientPort", Kind: Number, Default: "2181", Min: 0, Max: 65535, Class: Effective,
		Help:  "Port for clients; if it is not set, the one behind the ; of this server's own line, and 2181 where there is none.",
		field: func(c *Config) any { return &c.ClientPort }},
	{Name: "clientPortAddress", Kind: Text, Class: Effective, Help: "Address to listen on for clients; all addresses if it is not set.",
		field: func(c *Config) any { return &c.ClientPortAddress }},
	{Name: "clientPortListenBacklog", Kind: Number, Default: "-1", Min: -1, Max: maxInt, Class: Effective,
		Help: "Connections that may wait to be accepted; -1 is the kernel's maximum.", field: func(c *Config) any { return &c.Backlog }},
	{Name: "tickTime", Kind: Number, Default: "3000", Min: 1, Max: maxInt, Class: Effective,
		Help: "Length of a tick in milliseconds, the unit of timeouts.", field: func(c *Config) any { return &c.TickTime }},
	{Name: "minSessionTimeout", Kind: Number, Default: "-1", Min: -1, Max: maxInt, Class: Effective,
		Help: "Shortest session timeout in milliseconds; -1 is two ticks.", field: func(c *Config) any { return &c.MinSessionTimeout }},
	{Name: "maxSessionTimeout", Kind: Number, Default: "-1", Min: -1, Max: maxInt, Class: Effective,
		Help: "Longest session timeout in milliseconds; -1 is twenty ticks.", field: func(c *Config) any { return &c.MaxSessionTimeout }},
	{Name: "initLimit", Kind: Number, Default: "10", Min: 1, Max: maxInt, Class: Effective,
		Help: "Ticks that a server of an ensemble may take to synchronize with its leader.", field: func(c *Config) any { return &c.InitLimit }},
	{Name: "syncLimit", Kind: Number, Default: "5", Min: 1, Max: maxInt, Class: Effective,
		Help: "Ticks that a leader and a server that follows it may hear nothing of each other.", field: func(c *Config) any { return &c.SyncLimit }},
	{Name: "standaloneEnabled", Kind: Bool, Default: "true", Class: Effective,
		Help: "Run on its own where server.N lists a single server.", field: func(c *Config) any { return &c.Standalone }},
	{Name: "peerType", Kind: Text, Class: Effective,
		Help: "This server's role, participant or observer, which must agree with server.N.", field: func(c *Config) any { return &c.PeerType }},
	{Name: "dynamicConfigFile", Kind: Text, Class: Effective, Reload: true,
		Help: "File with the server.N, group.N and weight.N lines, as a reconfiguration of ZooKeeper's leaves it behind; " +
			"it is read and never written, and its path is taken as it is.",
		field: func(c *Config) any { return &c.DynamicFile }},
	{Name: "quorumListenOnAllIPs", Kind: Bool, Default: "false", Class: Effective,
		Help: "Listen for other servers on all addresses.", field: func(c *Config) any { return &c.ListenAll }},
	{Name: "cnxTimeout", Kind: Number, Default: "5000", Min: 1, Max: maxInt, Class: Effective,
		Help: "Milliseconds in which a connection to another server must be made.", field: func(c *Config) any { return &c.ConnectTimeout }},
	{Name: "fastleader.minNotificationInterval", Kind: Number, Default: "200", Min: 1, Max: maxInt, Class: Effective,
		Help:  "Milliseconds after which an unanswered vote is sent again, and for which an election waits for better votes.",
		field: func(c *Config) any { return &c.MinNotify }},
	{Name: "fastleader.maxNotificationInterval", Kind: Number, Default: "60000", Min: 1, Max: maxInt, Class: Effective,
		Help: "Longest pause between votes that are sent again, in milliseconds.", field: func(c *Config) any { return &c.MaxNotify }},
	{Name: "commitLogCount", Kind: Number, Default: "10000", Min: 500, Max: maxInt, Class: Effective,
		Help: "Committed transactions that are kept in memory for servers that lack them.", field: func(c *Config) any { return &c.WindowTxns }},
	{Name: "localSessionsEnabled", Kind: Bool, Default: "false", Class: Effective,
		Help:  "New sessions are known only to the server that the client connects to, and cost no transaction; for ensembles, and alike on all servers.",
		field: func(c *Config) any { return &c.LocalSessions }},
	{Name: "localSessionsUpgradingEnabled", Kind: Bool, Default: "false", Class: Effective,
		Help:  "A local session that creates an ephemeral znode becomes a global one; otherwise it may not create any.",
		field: func(c *Config) any { return &c.Upgrading }},
	{Name: "readonlymode.enabled", Kind: Bool, Default: "false", Class: Effective,
		Help:  "A server of an ensemble that has no quorum serves clients that allow it, read-only and from what it knows to be committed.",
		field: func(c *Config) any { return &c.ReadOnlyMode }},
	{Name: "leaderServes", Kind: Bool, Default: "yes", Class: Effective,
		Help: "The leader of an ensemble takes clients, too.", field: func(c *Config) any { return &c.LeaderServes }},
	{Name: "observerMasterPort", Kind: Number, Default: "0", Min: 0, Max: 65535, Class: Effective,
		Help:  "Port on which followers serve observers in the leader's place, on all servers the same; 0 is none.",
		field: func(c *Config) any { return &c.MasterPort }},
	{Name: "observer.reconnectDelayMs", Kind: Number, Default: "0", Min: 0, Max: maxInt, Class: Effective,
		Help:  "An observer that loses its leader waits for up to so many milliseconds, so that not all come at once.",
		field: func(c *Config) any { return &c.ReconnectDelay }},
	{Name: "observer.election.DelayMs", Kind: Number, Default: "0", Min: 0, Max: maxInt, Class: Effective,
		Help: "The same again, before it asks who leads; Apache's default is 200.", field: func(c *Config) any { return &c.ElectionDelay }},
	{Name: "nio.sessionlessCnxnTimeout", Kind: Number, Default: "10000", Min: 1, Max: maxInt, Class: Effective,
		Help: "Milliseconds until a connection that opens no session is closed.", field: func(c *Config) any { return &c.SessionlessTime }},
	{Name: "maxClientCnxns", Kind: Number, Default: "60", Min: 0, Max: maxInt, Class: Effective, Reload: true,
		Help: "Connections from one address; 0 is no limit.", field: func(c *Config) any { return &c.MaxClientCnxns }},
	{Name: "maxCnxns", Kind: Number, Default: "0", Min: 0, Max: maxInt, Class: Effective, Reload: true,
		Help: "Connections in all; 0 is no limit but that of file descriptors, of which some are left to the server itself.", field: func(c *Config) any { return &c.MaxCnxns }},
	{Name: "jute.maxbuffer", Kind: Number, Default: "1048575", Min: 1024, Max: 1 << 30, Class: Effective,
		Help: "Largest request, and so the largest data of a znode, in bytes; no transaction is more than twice as large. The same on all servers.", field: func(c *Config) any { return &c.MaxFrame }},
	{Name: "globalOutstandingLimit", Kind: Number, Default: "1000", Min: 1, Max: maxInt, Class: Effective,
		Help: "Requests without a reply from which on connections that wait for one are not read.", field: func(c *Config) any { return &c.OutstandingLimit }},
	{Name: "clientTcpKeepAlive", Kind: Bool, Default: "true", Class: Effective,
		Help: "Probe idle client connections; zkd always does.", field: func(c *Config) any { return &c.KeepAlive }},
	{Name: "forceSync", Kind: Bool, Default: "yes", Class: Effective,
		Help: "Force each write to the disk before it is acknowledged. With no, the end of a process loses nothing, but a crash of the machine " +
			"loses acknowledged writes of the last seconds, all that came after the last write of the image at most, " +
			"and in an ensemble the server votes as if it had never had them.", field: func(c *Config) any { return &c.ForceSync }},
	{Name: "fsync.warningthresholdms", Kind: Number, Default: "1000", Min: 1, Max: maxInt, Class: Effective,
		Help: "Milliseconds from which a write to the log is reported as slow.", field: func(c *Config) any { return &c.SlowSync }},
	{Name: "datadir.autocreate", Kind: Bool, Default: "true", Class: Effective,
		Help: "Make data directories that do not exist.", field: func(c *Config) any { return &c.AutocreateDirs }},
	{Name: "4lw.commands.whitelist", Kind: List, Default: "ruok,srvr,stat,mntr,isro,conf", Class: Effective, Reload: true,
		Help: "Four-letter words that are answered; * is all. srvr always is.", field: func(c *Config) any { return &c.Words }},
	{Name: "admin.enableServer", Kind: Bool, Default: "true", Class: Effective,
		Help: "Serve ZooKeeper's commands by HTTP, if admin.serverPort is set, too.", field: func(c *Config) any { return &c.AdminEnabled }},
	{Name: "admin.serverPort", Kind: Number, Default: "0", Min: 0, Max: 65535, Class: Effective,
		Help:  "Port of the commands by HTTP; 0 is none, unless admin.enableServer=true is set, which means 8080.",
		field: func(c *Config) any { return &c.AdminPort }},
	{Name: "admin.serverAddress", Kind: Text, Default: "0.0.0.0", Class: Effective,
		Help: "Address of the commands by HTTP.", field: func(c *Config) any { return &c.AdminAddress }},
	{Name: "admin.commandURL", Kind: Text, Default: "/commands", Class: Effective,
		Help: "Path of the commands by HTTP.", field: func(c *Config) any { return &c.AdminPath }},
	{Name: "admin.idleTimeout", Kind: Number, Default: "30000", Min: 1, Max: maxInt, Class: Effective,
		Help: "Milliseconds after which an idle HTTP connection is closed.", field: func(c *Config) any { return &c.AdminIdle }},
	{Name: "admin.snapshot.enabled", Kind: Bool, Default: "true", Class: Effective,
		Help:  "Answer the command snapshot by HTTP, a backup, to who has all permissions on the root.",
		field: func(c *Config) any { return &c.AdminSnapshot }},
	{Name: "admin.restore.enabled", Kind: Bool, Default: "true", Class: Effective,
		Help:  "Answer the command restore by HTTP, which replaces all data of a server on its own, to who has all permissions on the root.",
		field: func(c *Config) any { return &c.AdminRestore }},
	{Name: "admin.rateLimiterIntervalInMS", Kind: Number, Default: "300000", Min: 0, Max: maxInt, Class: Effective,
		Help: "Milliseconds in which at most one snapshot by HTTP begins, and one restore.", field: func(c *Config) any { return &c.AdminRate }},
	{Name: "admin.socket", Kind: Text, Class: Effective,
		Help:  "Local socket for metrics, health and commands; zkd.sock in the unit's runtime directory if it is not set, none without one.",
		field: func(c *Config) any { return &c.AdminSocket }},
	{Name: "metricsProvider.className", Kind: Text, Class: Effective,
		Help:  "With org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider metrics are served for Prometheus.",
		field: func(c *Config) any { return &c.MetricsClass }},
	{Name: "metricsProvider.httpHost", Kind: Text, Default: "0.0.0.0", Class: Effective,
		Help: "Address of the metrics.", field: func(c *Config) any { return &c.MetricsHost }},
	{Name: "metricsProvider.httpPort", Kind: Number, Default: "7000", Min: 0, Max: 65535, Class: Effective,
		Help: "Port of the metrics, /metrics; 0 is none.", field: func(c *Config) any { return &c.MetricsPort }},
	{Name: "metricsProvider.exportJvmInfo", Kind: Bool, Default: "true", Class: Effective,
		Help: "Serve metrics of the runtime, which is Go's, too.", field: func(c *Config) any { return &c.MetricsRuntime }},
	{Name: "logLevel", Kind: Text, Default: "info", Class: Effective, Reload: true,
		Help: "What is logged: trace, debug, info, warn or error.", field: func(c *Config) any { return &c.LogLevel }},
	{Name: "extendedTypesEnabled", Kind: Bool, Default: "false", Class: Effective,
		Help: "Allow znodes with a time to live; no server may have an id above 254 then.", field: func(c *Config) any { return &c.ExtendedTypes }},
	{Name: "emulate353TTLNodes", Kind: Bool, Default: "false", Class: Effective,
		Help: "Read TTL znodes as release 3.5.3 stored them.", field: func(c *Config) any { return &c.Emulate353 }},
	{Name: "enforceQuota", Kind: Bool, Default: "false", Class: Effective,
		Help: "Refuse writes above a hard quota.", field: func(c *Config) any { return &c.EnforceQuota }},
	{Name: "skipACL", Kind: Bool, Default: "no", Class: Effective,
		Help: "Check no ACL: everybody may do everything.", field: func(c *Config) any { return &c.SkipACL }},
	{Name: "reconfigEnabled", Kind: Bool, Default: "false", Class: Effective,
		Help: "Allow dynamic reconfiguration; a server on its own has nothing to reconfigure.", field: func(c *Config) any { return &c.ReconfigEnabled }},
	{Name: "znode.container.checkIntervalMs", Kind: Number, Default: "60000", Min: 1, Max: maxInt, Class: Effective,
		Help: "Milliseconds between searches for containers and TTL znodes to delete.", field: func(c *Config) any { return &c.ContainerEvery }},
	{Name: "znode.container.maxPerMinute", Kind: Number, Default: "10000", Min: 1, Max: maxInt, Class: Effective,
		Help: "Containers and TTL znodes that are deleted in a minute at most.", field: func(c *Config) any { return &c.ContainerPerMin }},
	{Name: "znode.container.maxNeverUsedIntervalMs", Kind: Number, Default: "0", Min: 0, Max: maxInt, Class: Effective,
		Help: "Milliseconds until a container that never had a child is deleted; 0 is never.", field: func(c *Config) any { return &c.ContainerMaxIdle }},
	{Name: "DigestAuthenticationProvider.enabled", Kind: Bool, Default: "true", Class: Effective,
		Help: "Offer the authentication scheme digest.", field: func(c *Config) any { return &c.DigestEnabled }},
	{Name: "DigestAuthenticationProvider.digestAlg", Kind: Text, Default: "SHA1", Class: Effective,
		Help: "Hash of the scheme digest: SHA1, SHA-256, SHA-384 or SHA-512.", field: func(c *Config) any { return &c.DigestAlg }},
	{Name: "DigestAuthenticationProvider.superDigest", Kind: Text, Class: Effective,
		Help: "Superuser, as super:<base64 hash>.", field: func(c *Config) any { return &c.SuperDigest }},
	{Name: "enforce.auth.enabled", Kind: Bool, Default: "false", Class: Effective,
		Help: "Clients must authenticate with one of enforce.auth.schemes.", field: func(c *Config) any { return &c.EnforceAuth }},
	{Name: "enforce.auth.schemes", Kind: List, Class: Effective,
		Help: "Schemes that satisfy enforce.auth.enabled.", field: func(c *Config) any { return &c.AuthSchemes }},
}

// later are settings of features that this version lacks.
var later = []struct{ help, names string }{
	{"Concerns ensembles of several servers.",
		"connectToLearnerMasterLimit leader.maxTimeToWaitForEpoch electionAlg " +
			"quorumCnxnTimeoutMs electionPortBindRetry tcpKeepAlive leaderConnectDelayDuringRetryMs " +
			"leader.maxConcurrentSnapSyncs leader.maxConcurrentDiffSyncs oraclePath snapshotSizeFactor db.autocreate " +
			"messageTracker.BufferSize messageTracker.Enabled enableEagerACLCheck"},
	{"Concerns TLS and SASL.",
		"secureClientPort secureClientPortAddress portUnification client.portUnification ssl.authProvider " +
			"sslQuorumReloadCertFiles client.certReload fips-mode X509AuthenticationProvider.superUser superUser " +
			"allowSaslFailedClients ensembleAuthName kerberos.removeHostFromPrincipal " +
			"kerberos.removeRealmFromPrincipal sasl.serverconfig java.security.auth.login.config " +
			"quorum.auth.learner.saslLoginContext quorum.auth.server.saslLoginContext " +
			"quorum.auth.kerberos.servicePrincipal " +
			"ssl.keyStore.location ssl.keyStore.password ssl.keyStore.passwordPath ssl.keyStore.type " +
			"ssl.trustStore.location ssl.trustStore.password ssl.trustStore.passwordPath ssl.trustStore.type " +
			"ssl.protocol ssl.enabledProtocols ssl.ciphersuites ssl.hostnameVerification ssl.clientHostnameVerification " +
			"ssl.allowReverseDnsLookup ssl.crl ssl.ocsp ssl.handshakeDetectionTimeoutMillis " +
			"ssl.quorum.keyStore.location ssl.quorum.keyStore.password ssl.quorum.keyStore.passwordPath " +
			"ssl.quorum.keyStore.type ssl.quorum.trustStore.location ssl.quorum.trustStore.password " +
			"ssl.quorum.trustStore.passwordPath ssl.quorum.trustStore.type ssl.quorum.protocol " +
			"ssl.quorum.enabledProtocols ssl.quorum.ciphersuites ssl.quorum.hostnameVerification " +
			"ssl.quorum.clientHostnameVerification ssl.quorum.allowReverseDnsLookup ssl.quorum.crl ssl.quorum.ocsp " +
			"ssl.quorum.handshakeDetectionTimeoutMillis ssl.quorum.context.supplier.class"},
	{"Concerns HTTPS and the audit log.",
		"admin.portUnification metricsProvider.httpsPort audit.enable IPAuthenticationProvider.usexforwardedfor"},
	{"Concerns throttling beyond globalOutstandingLimit.",
		"largeRequestMaxBytes largeRequestThreshold requestThrottleLimit request_throttle_max_requests " +
			"requestThrottleStallTime request_throttle_stall_time requestThrottleDropStale request_throttle_drop_stale " +
			"requestStaleLatencyCheck request_stale_latency_check requestStaleConnectionCheck " +
			"request_stale_connection_check request_throttler.shutdownTimeout throttledOpWaitTime throttled_op_wait_time " +
			"connectionMaxTokens connection_throttle_tokens connectionTokenFillTime connection_throttle_fill_time " +
			"connectionTokenFillCount connection_throttle_fill_count connectionFreezeTime " +
			"connection_throttle_freeze_time connectionDropIncrease connection_throttle_drop_increase " +
			"connectionDropDecrease connection_throttle_drop_decrease connectionDecreaseRatio " +
			"connection_throttle_decrease_ratio connection_throttle_weight_enabled " +
			"connection_throttle_global_session_weight connection_throttle_local_session_weight " +
			"connection_throttle_renew_session_weight"},
}

// ignored are settings that have nothing to set here.
var ignored = []struct{ reason, names string }{
	{"the image is written behind the log and the log is trimmed by itself; disk use is bounded without a setting",
		"snapCount snapSizeLimitInKb txnLogSizeLimitInKb preAllocSize autopurge.snapRetainCount autopurge.purgeInterval " +
			"snapshot.compression.method snapshot.trust.empty serializeLastProcessedZxid.enabled forceSnapshotSync " +
			"closeSessionTxn.enabled digest.enabled jute.maxbuffer.extrasize"},
	{"writes that come together share one sync without a delay",
		"flushDelay maxWriteQueuePollTime maxBatchSize"},
	{"there is no JVM and there are no thread pools; GOMAXPROCS bounds the threads",
		"nio.numSelectorThreads nio.numWorkerThreads nio.directBufferBytes nio.shutdownTimeout serverCnxnFactory " +
			"clientCnxnSocket commitProcessor.numWorkerThreads commitProcessor.maxReadBatchSize " +
			"commitProcessor.maxCommitBatchSize commitProcessor.shutdownTimeout intBufferStartingSizeBytes " +
			"quorum.cnxn.threads.size metricsProvider.numWorkerThreads metricsProvider.maxQueueSize " +
			"metricsProvider.workerShutdownTimeoutMs jmx.log4j.disable jmx.log4j.mbean admin.httpVersion audit.impl.class " +
			"jvm.pause.monitor jvm.pause.info-threshold.ms jvm.pause.warn-threshold.ms jvm.pause.sleep.time.ms kinit " +
			"ssl.sslProvider ssl.context.supplier.class"},
	{"watches and replies are kept in zkd's own way",
		"watchManagerName watcherCleanThreadsNum watcherCleanThreshold watcherCleanIntervalInSeconds " +
			"maxInProcessingDeadWatchers bitHashCacheSize maxResponseCacheSize maxGetChildrenResponseCacheSize " +
			"pathStats.enabled"},
	{"all addresses of a server are listened on, and dialled at the same time, whenever it has several",
		"multiAddress.enabled multiAddress.reachabilityCheckTimeoutMs multiAddress.reachabilityCheckEnabled"},
	{"an observer gets what it lacks from memory, from the log, or as a snapshot", "observerMaster.sizeLimit"},
	{"an observer always keeps image and log on its disk", "syncEnabled observer.syncEnabled"},
	{"it is always so",
		"leader.nodelay follower.nodelay advancedFlowControlEnabled netty.advancedFlowControl.enabled " +
			"learner.closeSocketAsync leader.closeSocketAsync learner.asyncSending leader.ackLoggingFrequency " +
			"follower.skipLearnerRequestToNextProcessor forward_learner_requests_to_commit_processor_disabled"},
}
