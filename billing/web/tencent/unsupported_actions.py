"""Actions that Tencent's client for TRTC has, version 2019-07-22, and that are not metered or done here."""

UNSUPPORTED_ACTIONS = frozenset(
    (
        *("AsyncTextToSpeech", "ControlAIConversation", "CreateAudioModerationSync", "CreateCloudModeration"),
        *("CreateCloudRecording", "CreateCloudSliceTask", "CreateCloudTranscription", "CreateLiveStreamModeration"),
        *("CreatePicture", "CreateRecognizeVocabV3", "DeleteCloudModeration", "DeleteCloudRecording"),
        *("DeleteCloudSliceTask", "DeleteCloudTranscription", "DeleteLiveStreamModeration", "DeletePicture"),
        *("DeleteRecognizeVocabV3", "DeleteVoicePrint", "DescribeAIConversation", "DescribeAITranscription"),
        *("DescribeAsyncTextToSpeech", "DescribeCallDetailInfo", "DescribeCloudModeration", "DescribeCloudRecording"),
        *("DescribeCloudSliceTask", "DescribeCloudTranscription", "DescribeLiveStreamModeration"),
        *("DescribePicture", "DescribeRecordStatistic"),
        *("DescribeRelayUsage", "DescribeStreamIngest", "DescribeTRTCAIRecognitionUsage"),
        *("DescribeTRTCDedicatedCloudAccUsage", "DescribeTRTCMarketQualityData", "DescribeTRTCMarketScaleData"),
        *("DescribeTRTCMarketScaleMetricData", "DescribeTRTCRealTimeQualityData", "DescribeTRTCRealTimeScaleData"),
        *("DescribeTRTCSegmentModerationUsage", "DescribeTrtcMcuTranscodeTime", "DescribeUnusualEvent"),
        *("DescribeUserEvent", "DescribeVoicePrint", "DescribeWebRecord", "DismissRoom", "DismissRoomByStrRoomId"),
        *("DownloadRecognizeVocabV3", "GetRecognizeVocabListV3", "GetRecognizeVocabV3", "ModifyCloudModeration"),
        *("ModifyCloudRecording", "ModifyCloudSliceTask", "ModifyPicture", "RegisterVoicePrint", "RemoveUser"),
        *("RemoveUserByStrRoomId", "SetVocabStateV3", "StartAIConversation", "StartAITranscription"),
        *("StartMCUMixTranscode", "StartMCUMixTranscodeByStrRoomId", "StartPublishCdnStream", "StartStreamIngest"),
        *("StartWebRecord", "StopAIConversation", "StopAITranscription", "StopMCUMixTranscode"),
        *(
            "StopMCUMixTranscodeByStrRoomId",
            "StopPublishCdnStream",
            "StopStreamIngest",
            "StopWebRecord",
            "TextToSpeech",
        ),
        *("TextToSpeechSSE", "UpdateAIConversation", "UpdatePublishCdnStream", "UpdateRecognizeVocabV3"),
        *("UpdateStreamIngest", "UpdateVoicePrint", "VoiceClone"),
    )
)
